"""What a list of the resources tells about the operations on them: success, and nothing else (S20).

A resource in the state that an operation was to bring about proves that it succeeded. Any other may
be older than the operation, or the trace of a failure: only the operation itself tells.

A list may lag behind what was made. So a resource that is missing in it proves that its deletion
succeeded only where an earlier list has shown it. No list proves a change of labels: it might show
those that somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from csi_exoblock.model import Operation, Snapshot, Volume
from csi_exoblock.states import SnapshotState, VolumeState


class Resource(Enum):
    """The kinds of resources of which there are lists."""

    VOLUME = "volume"
    SNAPSHOT = "snapshot"


class Finding(Enum):
    """What a list tells about an operation; nothing at all where it is unclear."""

    SUCCEEDED = "succeeded"
    UNDER_WAY = "under way"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class _Course:
    """The states of a resource while an operation works on it, and once it has succeeded."""

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
        (SnapshotState.ALLOCATED, SnapshotState.CREATING),
        SnapshotState.CREATED,
    ),
    "delete-block-storage-snapshot": _Course(
        Resource.SNAPSHOT, (SnapshotState.DESTROYING,), SnapshotState.DESTROYED, removes=True
    ),
}


def resource_of(operation: Operation) -> Resource | None:
    """Return of what a list may settle the operation, `None` if none can."""
    course = _COURSES.get(operation.kind)
    return course.resource if course and operation.about else None


def find(operation: Operation, seen: Volume | Snapshot | None, *, was_shown: bool) -> Finding:
    """Tell what a list that was asked for after the operation began says about it.

    Args:
        seen: What the operation is about as the list has it, `None` if it lacks it.
        was_shown: Whether an earlier list has shown it.
    """
    course = _COURSES[operation.kind]
    if seen is None:
        return Finding.SUCCEEDED if course.removes and was_shown else Finding.UNCLEAR
    if seen.state in course.meanwhile:
        return Finding.UNDER_WAY
    if seen.state == course.at_last and _is_where_wanted(operation, seen):
        return Finding.SUCCEEDED
    return Finding.UNCLEAR


def _is_where_wanted(operation: Operation, seen: Volume | Snapshot) -> bool:
    if isinstance(seen, Snapshot):
        return True
    attached_to = seen.attached_to.uuid if seen.attached_to else None
    return attached_to == operation.instance
