"""What can go wrong with the cloud's API, and which calls of it each RPC depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# How each fault of the report is given to the simulator.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "refused 4xx": {"fault": "refuse", "status": 409},
    "bad request": {"fault": "refuse", "status": 400},
    "denied": {"fault": "refuse", "status": 403},
    "refused 5xx": {"fault": "refuse", "status": 503},
    "5xx after": {"fault": "refuse", "status": 502, "when": "after"},
    "throttled": {"fault": "refuse", "status": 429, "retry_after": 0.02},
    "drop before": {"fault": "drop", "when": "before"},
    "drop after": {"fault": "drop", "when": "after"},
    "delay before": {"fault": "delay", "when": "before", "seconds": 3.0},
    "delay after": {"fault": "delay", "when": "after", "seconds": 3.0},
    "garbage": {"fault": "garbage", "when": "after"},
    "fails": {"fault": "fail", "reason": "fault"},
    "fails busy": {"fault": "fail", "reason": "busy"},
    "fails, left": {"fault": "fail", "reason": "partial", "leaves": "error"},
    "fails, done": {"fault": "fail", "reason": "unknown", "leaves": "done"},
    "fails late": {"fault": "fail", "reason": "fault", "calls": 12},
    "times out": {"fault": "time-out"},
    "times out, done": {"fault": "time-out", "leaves": "done"},
    "hangs": {"fault": "hang", "calls": 40},  # a driver that waits sends this number in a second
}

WRITES = (
    "create-block-storage-volume",
    "delete-block-storage-volume",
    "attach-block-storage-volume-to-instance",
    "detach-block-storage-volume",
    "resize-block-storage-volume",
    "update-block-storage-volume",
    "create-block-storage-snapshot",
    "delete-block-storage-snapshot",
)
READS = (
    "list-block-storage-volumes",
    "list-block-storage-volumes",  # which every create begins with, and lists come later
    "list-block-storage-snapshots",
    "get-block-storage-volume",
    "get-block-storage-snapshot",
    "get-operation",
    "get-instance",
    "list-quotas",
)
# These befall an operation, and only a write that begins one can have them.
OF_OPERATIONS = frozenset(
    {
        *("fails", "fails busy", "fails, left", "fails, done", "fails late"),
        *("times out", "times out, done", "hangs"),
    }
)
LEAVES_ERROR = "fails, left"
LISTS = ("ListVolumes", "ListSnapshots")
OPERATION_OF: Mapping[str, str] = {
    "CreateVolume": "create-block-storage-volume",
    "DeleteVolume": "delete-block-storage-volume",
    "ControllerPublishVolume": "attach-block-storage-volume-to-instance",
    "ControllerUnpublishVolume": "detach-block-storage-volume",
    "ControllerExpandVolume": "resize-block-storage-volume",
    "ControllerModifyVolume": "update-block-storage-volume",
    "CreateSnapshot": "create-block-storage-snapshot",
    "DeleteSnapshot": "delete-block-storage-snapshot",
    "ListVolumes": "list-block-storage-volumes",
    "ListSnapshots": "list-block-storage-snapshots",
}
"""The call of the API by which a fault reaches each RPC."""

CREATE = "create-block-storage-volume"  # what costs most when it goes wrong, so it does oftener
LOST_ANSWERS = ("drop after", "5xx after", "garbage")
RESIZE = "resize-block-storage-volume"  # the one write that begins none


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with the API.

    Attributes:
        kind: A key of `FAULTS`.
        operation: Which calls it is about.
        skip: How many such calls are spared first.
        count: How many it befalls.
    """

    kind: str
    operation: str
    skip: int
    count: int

    def rule(self) -> dict[str, Any]:
        """Return the simulator's rule for it."""
        where = {"operation": self.operation, "skip": self.skip, "count": self.count}
        return {**FAULTS[self.kind], **where}


def fits(kind: str, operation: str) -> bool:
    """Tell whether that can go wrong with that operation of the API.

    A volume that an attach leaves in state error is a case for support: no driver can mend it.
    """
    if kind == LEAVES_ERROR:
        return operation.startswith("create-")
    return kind not in OF_OPERATIONS or (operation in WRITES and operation != RESIZE)


def is_possible(kind: str, rpc: str) -> bool:
    """Tell whether such a fault can befall such an RPC.

    Lists begin no operation, so none of theirs can fail; only creations leave something broken.
    """
    if kind == LEAVES_ERROR:
        return rpc.startswith("Create")
    return not (kind in OF_OPERATIONS and rpc in LISTS)


CELLS = tuple((kind, rpc) for kind in FAULTS for rpc in OPERATION_OF if is_possible(kind, rpc))
"""Every schedule has one of them for certain, each in its turn."""
