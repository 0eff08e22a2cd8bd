"""What a list of resources proves about the operations on them: success, nothing else (S20).

A resource in the final state of an operation proves that the operation succeeded. Any other state
can be older than the operation, or the result of a failure; then only the operation itself says how
it ended.

Nor does a state prove that a copy has all of its content: only its own operation says how a
restore, a clone or a snapshot ended.

Lists can lag behind. So a resource that is missing from a list proves that its deletion succeeded
only if an earlier list has shown it. No list proves a change of labels, because somebody else could
have written the same labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from csi_exoblock.model import Operation, Snapshot, Volume
from csi_exoblock.states import SNAPSHOT_COMING, SnapshotState, VolumeState


class Resource(Enum):
    """The kinds of resources that the API lists."""

    VOLUME = "volume"
    SNAPSHOT = "snapshot"


class Finding(Enum):
    """What a list proves about an operation; `UNCLEAR` proves nothing."""

    SUCCEEDED = "succeeded"
    UNDER_WAY = "under way"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class _Course:
    """The states of a resource during an operation and after its success.

    Attributes:
        removes: Whether the resource is gone after the success.
    """

    resource: Resource
    meanwhile: tuple[str, ...]
    at_last: str
    removes: bool = False


_COURSES: Mapping[str, _Course] = {
    "create-block-storage-volume": _Course(
        Resource.VOLUME, (VolumeState.CREATING,), VolumeState.DETACHED
    ),
    "attach-block-storage-volume-to-instance": _Course(
        Resource.VOLUME, (VolumeState.ATTACHING,), VolumeState.ATTACHED
    ),
    "detach-block-storage-volume": _Course(
        Resource.VOLUME, (VolumeState.DETACHING,), VolumeState.DETACHED
    ),
    "delete-block-storage-volume": _Course(
        Resource.VOLUME, (VolumeState.DELETING,), VolumeState.DELETED, removes=True
    ),
    "create-block-storage-snapshot": _Course(
        Resource.SNAPSHOT,
        SNAPSHOT_COMING,
        SnapshotState.CREATED,
    ),
    "delete-block-storage-snapshot": _Course(
        Resource.SNAPSHOT, (SnapshotState.DESTROYING,), SnapshotState.DESTROYED, removes=True
    ),
}


def resource_of(operation: Operation) -> Resource | None:
    """Return the resource list that can prove this operation's success, `None` if none can."""
    course = _COURSES.get(operation.kind)
    return course.resource if course and operation.about else None


def find(operation: Operation, seen: Volume | Snapshot | None, *, was_shown: bool) -> Finding:
    """Return what a list proves about an operation that began before the list was requested.

    Args:
        seen: The operation's resource as the list shows it, `None` if the list lacks it.
        was_shown: Whether an earlier list has shown it.
    """
    course = _COURSES[operation.kind]
    if seen is None:
        return Finding.SUCCEEDED if course.removes and was_shown else Finding.UNCLEAR
    if seen.state in course.meanwhile:
        return Finding.UNDER_WAY
    is_as_wanted = seen.state == course.at_last and _is_where_wanted(operation, seen)
    return Finding.SUCCEEDED if is_as_wanted and not operation.copies else Finding.UNCLEAR


def _is_where_wanted(operation: Operation, seen: Volume | Snapshot) -> bool:
    if isinstance(seen, Snapshot):
        return True
    attached_to = seen.attached_to.uuid if seen.attached_to else None
    return attached_to == operation.instance
