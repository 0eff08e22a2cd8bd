"""What each RPC says to whatever the cloud answers: the rows and columns of the golden tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc

from csi_exoblock.pb import csi_pb2
from csi_exoblock.simulator.state.resources import Reason
from tests.controller import requests as csi
from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller
from tests.support.simulator_process import SimulatorProcess

# What befalls the one write that an RPC sends, the row of the error table.
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    **{
        f"HTTP {status}": {"fault": "refuse", "status": status}
        for status in (400, 401, 403, 404, 408, 409, 410, 412, 418, 422, 429, 500, 502, 503, 504)
    },
    "HTTP 409 each time": {"fault": "refuse", "status": 409, "count": None},
    "503 after its effect": {"fault": "refuse", "status": 503, "when": "after"},
    "lost before": {"fault": "drop", "when": "before"},
    "lost after": {"fault": "drop", "when": "after"},
    "no JSON": {"fault": "garbage", "when": "after"},
    **{f"failure: {reason.value}": {"fault": "fail", "reason": reason.value} for reason in Reason},
    "failure, yet done": {"fault": "fail", "reason": "fault", "leaves": "done"},
    "timeout": {"fault": "time-out"},
    "timeout, yet done": {"fault": "time-out", "leaves": "done"},
}
NO_OPERATION = "ControllerExpandVolume"  # a resize answers by itself, and no operation can fail

Call = Callable[[], object]


class Stage:
    """A cloud with a controller, and fresh volumes for each case."""

    def __init__(self, controller: Controller, cloud: SimulatorProcess) -> None:
        self.controller = controller
        self.cloud = cloud
        self.administrator = Administrator(cloud)
        self._count = 0

    def name(self) -> str:
        """Return a name that no other case uses."""
        self._count += 1
        return f"pvc-{self._count}"

    def volume(self, gib: int = 1) -> str:
        """Make a volume, and return its id."""
        return self.controller.CreateVolume(csi.create_volume(self.name(), gib)).volume.volume_id

    def node(self, zone: str = "") -> str:
        """Return the id of a new node."""
        zone = zone or self.cloud.zones[0]
        return f"{zone}/{self.cloud.add_instance(zone)}"

    def attached(self) -> tuple[str, str]:
        """Return a volume and the node that has it."""
        volume, node = self.volume(), self.node()
        self.controller.ControllerPublishVolume(csi.publish(volume, node))
        return volume, node

    def snapshot(self, volume: str = "") -> str:
        """Take a snapshot, and return its id."""
        request = csi.create_snapshot(self.name(), volume or self.volume())
        return self.controller.CreateSnapshot(request).snapshot.snapshot_id


@dataclass(frozen=True, slots=True)
class Column:
    """An RPC.

    Attributes:
        operation: The write that it sends.
        prepare: Makes what it needs, and returns the call.
    """

    operation: str
    prepare: Callable[[Stage], Call]


def _create(stage: Stage) -> Call:
    request = csi.create_volume(stage.name())
    return lambda: stage.controller.CreateVolume(request)


def _delete(stage: Stage) -> Call:
    request = csi.delete_volume(stage.volume())
    return lambda: stage.controller.DeleteVolume(request)


def _publish(stage: Stage) -> Call:
    request = csi.publish(stage.volume(), stage.node())
    return lambda: stage.controller.ControllerPublishVolume(request)


def _unpublish(stage: Stage) -> Call:
    request = csi.unpublish(*stage.attached())
    return lambda: stage.controller.ControllerUnpublishVolume(request)


def _expand(stage: Stage) -> Call:
    request = csi.expand(stage.volume(), 2)
    return lambda: stage.controller.ControllerExpandVolume(request)


def _modify(stage: Stage) -> Call:
    request = csi_pb2.ControllerModifyVolumeRequest(
        volume_id=stage.volume(), mutable_parameters={"labels": "tier=gold"}
    )
    return lambda: stage.controller.ControllerModifyVolume(request)


def _take(stage: Stage) -> Call:
    request = csi.create_snapshot(stage.name(), stage.volume())
    return lambda: stage.controller.CreateSnapshot(request)


def _take_in_use(stage: Stage) -> Call:
    request = csi.create_snapshot(stage.name(), stage.attached()[0])
    return lambda: stage.controller.CreateSnapshot(request)


def _delete_snapshot(stage: Stage) -> Call:
    request = csi.delete_snapshot(stage.snapshot())
    return lambda: stage.controller.DeleteSnapshot(request)


COLUMNS: Mapping[str, Column] = {
    "CreateVolume": Column("create-block-storage-volume", _create),
    "DeleteVolume": Column("delete-block-storage-volume", _delete),
    "ControllerPublishVolume": Column("attach-block-storage-volume-to-instance", _publish),
    "ControllerUnpublishVolume": Column("detach-block-storage-volume", _unpublish),
    "ControllerExpandVolume": Column("resize-block-storage-volume", _expand),
    "ControllerModifyVolume": Column("update-block-storage-volume", _modify),
    "CreateSnapshot": Column("create-block-storage-snapshot", _take),
    "CreateSnapshot of a volume in use": Column("create-block-storage-snapshot", _take_in_use),
    "DeleteSnapshot": Column("delete-block-storage-snapshot", _delete_snapshot),
}


def answers_of(rpc: str, stage: Stage) -> Iterator[tuple[str, str, str]]:
    """Yield for each answer of the cloud its name, the code that comes of it, and the text."""
    column = COLUMNS[rpc]
    for name, rule in ANSWERS.items():
        if rpc == NO_OPERATION and rule["fault"] in ("fail", "time-out"):
            yield name, "-", ""
            continue
        call = column.prepare(stage)
        stage.cloud.add_fault(**{"operation": column.operation, "count": 1, **rule})
        code, text = outcome(call)
        stage.cloud.clear_faults()
        yield name, code, text


def outcome(call: Call) -> tuple[str, str]:
    """Return the code with which a call ends, and its text without what differs from run to run."""
    try:
        call()
    except grpc.RpcError as error:
        status = cast(grpc.Call, error)
        return status.code().name, anonymous(status.details() or "")
    return "OK", ""


_PLACEHOLDERS = {
    re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"): "<uuid>",
    re.compile(r"127\.0\.0\.1:\d+|port=\d+|0x[0-9a-f]+"): "<address>",
    re.compile(r"(?<=no answer: )[^;]*"): "<how>",  # a reset or an end, whichever comes first
    re.compile(r"\bpvc-\d+"): "<name>",
    re.compile(r"\b\d+\.\d+ ?s\b"): "<seconds>",
    re.compile(r"\b\d+(?= of \d+ in use)"): "<count>",
}


def anonymous(text: str) -> str:
    """Return a text with placeholders for ids, names and times."""
    for pattern, placeholder in _PLACEHOLDERS.items():
        text = pattern.sub(placeholder, text)
    return text
