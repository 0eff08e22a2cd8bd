"""Every RPC, and every step that one can come to: calls in which the driver is to die."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from csi_exoblock.pb import csi_pb2
from tests.chaos.plan import ZONES
from tests.chaos.world import CALL_SECONDS, TIME_SCALE
from tests.controller import requests as csi

Call = tuple[str, Any]
"""A method and its request."""


@dataclass(slots=True)
class Cast:
    """What the calls of a scene refer to, filled in as they are answered."""

    node: str
    other: str
    volume: str = ""
    snapshot: str = ""


def _create(_: Cast) -> Call:
    return "CreateVolume", csi.create_volume("source", 2)


def _take(cast: Cast) -> Call:
    return "CreateSnapshot", csi.create_snapshot("snapshot", cast.volume)


def _attach(cast: Cast) -> Call:
    return "ControllerPublishVolume", csi.publish(cast.volume, cast.node)


def _restore(cast: Cast) -> Call:
    return "CreateVolume", csi.create_volume("copy", 3, snapshot_id=cast.snapshot)


def _clone(cast: Cast) -> Call:
    request = csi.create_volume("copy", 3)
    request.volume_content_source.volume.volume_id = cast.volume
    return "CreateVolume", request


def _delete(cast: Cast) -> Call:
    return "DeleteVolume", csi.delete_volume(cast.volume)


def _detach(cast: Cast) -> Call:
    return "ControllerUnpublishVolume", csi.unpublish(cast.volume, cast.node)


def _expand(cast: Cast) -> Call:
    return "ControllerExpandVolume", csi.expand(cast.volume, 4)


def _expand_less(cast: Cast) -> Call:
    return "ControllerExpandVolume", csi.expand(cast.volume, 2)


def _attach_elsewhere(cast: Cast) -> Call:
    return "ControllerPublishVolume", csi.publish(cast.volume, cast.other)


def _modify(cast: Cast) -> Call:
    parameters = {"labels": "tier=gold"}
    return "ControllerModifyVolume", csi_pb2.ControllerModifyVolumeRequest(
        volume_id=cast.volume, mutable_parameters=parameters
    )


def _delete_snapshot(cast: Cast) -> Call:
    return "DeleteSnapshot", csi.delete_snapshot(cast.snapshot)


@dataclass(frozen=True, slots=True)
class Scene:
    """Calls that nobody disturbs, and last the one in which the driver dies.

    Attributes:
        only: The steps at which it dies; everywhere if there are none.
        together: Whether one driver answers all of the calls: it must remember the earlier ones.
        modes: How the cloud answers what is not known of the real one.
        faults: What goes wrong in the last call.
        latencies: How long operations take, in seconds before the scale.
        call_seconds: After which the last call is given up and sent again.
    """

    calls: tuple[Callable[[Cast], Call], ...]
    only: tuple[str, ...] = ()
    together: bool = False
    modes: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    flags: tuple[str, ...] = ()
    latencies: Mapping[str, float] = field(default_factory=dict)
    call_seconds: float = CALL_SECONDS


_REMEMBERING = ("--time-scale", "0.5")
"""Slow enough that what was made is too new to be shown when the next call comes."""


_LONG_PAUSE = 2.5
"""Seconds, not scaled: longer than what a call has read ever holds."""


def _refused(operation: str, status: int = 409) -> Mapping[str, Any]:
    return {"fault": "refuse", "status": status, "operation": operation, "count": 1}


def _refused_for_good(operation: str) -> Mapping[str, Any]:
    """Refuse each call, so that the answer is the same whenever the driver dies."""
    return {"fault": "refuse", "status": 409, "operation": operation}


def _lost(operation: str) -> Mapping[str, Any]:
    return {"fault": "drop", "operation": operation, "count": 1}


def _answer_lost(operation: str) -> Mapping[str, Any]:
    return {**_lost(operation), "when": "after"}


def _listed_as_empty() -> Mapping[str, Any]:
    body = '{"block-storage-volumes": []}'
    return {**_refused("list-block-storage-volumes", 200), "zone": ZONES[0], "body": body}


SCENES: Mapping[str, Scene] = {
    "create": Scene((_create,)),
    "delete": Scene((_create, _delete)),
    "attach": Scene((_create, _attach)),
    "detach": Scene((_create, _attach, _detach)),
    "expand": Scene((_create, _expand)),
    "expand in use": Scene((_create, _attach, _expand)),
    "attach with a growth noted": Scene((_create, _attach, _expand, _detach, _attach)),
    "modify": Scene((_create, _modify)),
    "snapshot": Scene((_create, _take)),
    "delete a snapshot": Scene((_create, _take, _delete_snapshot)),
    "create lost": Scene(
        (_create,),
        only=("waiting until the name is surely absent",),
        faults=(_lost("create-block-storage-volume"),),
    ),
    "create timed out": Scene(
        (_create,),
        only=("asking whether the operation is pending still",),
        faults=({"fault": "time-out", "operation": "create-block-storage-volume", "count": 1},),
    ),
    "create repeated before it is shown": Scene(
        (_create, _create),
        only=("waiting until what was made is shown",),
        together=True,
        faults=(_listed_as_empty(), _refused("get-block-storage-volume", 404)),
        flags=_REMEMBERING,
    ),
    "delete before it is shown": Scene(
        (_create, _delete),
        only=("waiting until what was just created is shown",),
        together=True,
        faults=(_refused("get-block-storage-volume", 404),),
        flags=_REMEMBERING,
    ),
    "attach elsewhere": Scene(
        (_create, _attach, _attach_elsewhere),
        only=("asking whether the instance exists",),
    ),
    "attach refused": Scene(
        (_create, _attach),
        only=("asking why the volume was not attached",),
        faults=(_refused("attach-block-storage-volume-to-instance"),),
    ),
    "attach joined": Scene(
        (_create, _attach),
        only=("joining the operation of an earlier call",),
        latencies={"attach": 40.0},
        call_seconds=20 * TIME_SCALE,
    ),
    "detach lost": Scene(
        (_create, _attach, _detach),
        only=("waiting for the effect of a write whose answer was lost",),
        faults=(_lost("detach-block-storage-volume"),),
        latencies={"detach": 15.0},  # a busy driver must still come in time to wait for it
    ),
    "modify refused": Scene(
        (_create, _modify),
        only=("asking why the volume was not changed",),
        faults=(_refused_for_good("update-block-storage-volume"),),
    ),
    "expand taken back": Scene(
        (_create, _attach, _expand, _expand_less),
        only=("removing the note of a growth",),
    ),
    "expand refused": Scene(
        (_create, _expand),
        only=("asking why the volume was not resized",),
        faults=(_refused_for_good("resize-block-storage-volume"),),
    ),
    "delete refused": Scene(
        (_create, _delete),
        only=("asking why the volume was not deleted",),
        faults=(_refused("delete-block-storage-volume"),),
    ),
    "delete lost": Scene(
        (_create, _delete),
        only=("waiting for the volume to end deleting",),
        faults=(_answer_lost("delete-block-storage-volume"),),
        latencies={"delete": 60.0},
    ),
    "delete that has to wait": Scene(
        (_create, _delete),
        only=("reading again, because the write waited too long for its turn",),
        faults=({**_refused("delete-block-storage-volume", 429), "retry_after": _LONG_PAUSE},),
    ),
    "snapshot refused": Scene(
        (_create, _take),
        only=("asking why no snapshot was taken",),
        faults=(_refused_for_good("create-block-storage-snapshot"),),
    ),
    "modify without operations": Scene(
        (_create, _modify),
        only=("waiting until the volume shows its labels",),
        modes={"operations": "denied"},
        latencies={"update": 30.0},
    ),
    "snapshot lost": Scene(
        (_create, _take),
        only=("waiting for the snapshot to be ready",),
        faults=(_answer_lost("create-block-storage-snapshot"),),
        latencies={"snapshot": 60.0},
    ),
    "delete of a snapshot refused": Scene(
        (_create, _take, _delete_snapshot),
        only=("asking why the snapshot was not deleted",),
        faults=(_refused("delete-block-storage-snapshot"),),
    ),
    "delete of a snapshot lost": Scene(
        (_create, _take, _delete_snapshot),
        only=("waiting for the snapshot to be destroyed",),
        faults=(_answer_lost("delete-block-storage-snapshot"),),
        latencies={"delete-snapshot": 60.0},
    ),
    "delete of a snapshot before it is shown": Scene(
        (_create, _take, _delete_snapshot),
        only=("waiting until what was just created is shown",),
        together=True,
        faults=(_refused("get-block-storage-snapshot", 404),),
        flags=_REMEMBERING,
    ),
    "snapshot read instead of its operation": Scene(
        (_create, _take),
        only=("judging a creation by what it made",),
        modes={"operations": "denied"},
        latencies={"snapshot": 30.0},
    ),
    "snapshot without its labels": Scene(
        (_create, _take),
        only=("repairing the snapshot's labels",),
        modes={"create-labels": "dropped"},
    ),
    "create without its labels": Scene(
        (_create,),
        only=("adopting the volume of that name", "repairing the volume's labels"),
        modes={"create-labels": "dropped"},
    ),
    "restore that comes out too small": Scene(
        (_create, _take, _restore),
        only=("resizing a restore that came out too small",),
        modes={"restore-larger": "ignored"},
    ),
    "restore that may not start larger": Scene(
        (_create, _take, _restore),
        only=("creating the volume as large as its source",),
        modes={"restore-larger": "refused"},
    ),
    "delete a clone": Scene((_create, _clone, _delete)),
    "restore": Scene((_create, _take, _restore)),
    "clone": Scene((_create, _clone)),
}
"""By name; the longest come last."""
