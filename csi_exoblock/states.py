"""The API's words for states and reasons; a new word reads as `unknown`."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class _OpenEnum(StrEnum):
    """An enumeration that the API can extend: an unlisted word reads as `unknown`."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls("unknown") if value != "unknown" else None


class VolumeState(_OpenEnum):
    """Source: API schema block-storage-volume, `state`."""

    CREATING = "creating"
    DETACHED = "detached"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    SNAPSHOTTING = "snapshotting"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    UNKNOWN = "unknown"


VOLUME_GOING = (VolumeState.DELETING, VolumeState.DELETED)
"""The states of a volume that is deleted, or is about to be."""

VOLUME_MOVING = (VolumeState.ATTACHING, VolumeState.DETACHING)
"""The states of a volume that is being attached to an instance or detached from it."""

VOLUME_BUSY = (VolumeState.CREATING, VolumeState.SNAPSHOTTING, *VOLUME_MOVING)
"""The states of a volume that stays, while the cloud works on it."""


class SnapshotState(_OpenEnum):
    """Source: API schema block-storage-snapshot, `state`."""

    ALLOCATED = "allocated"
    CREATING = "creating"
    CREATED = "created"
    PROMOTING = "promoting"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    PARTIALLY_DESTROYED = "partially-destroyed"
    ERROR = "error"
    UNKNOWN = "unknown"


SNAPSHOT_COMING = (SnapshotState.ALLOCATED, SnapshotState.CREATING)
"""The states of a snapshot that is still being made."""

SNAPSHOT_GOING = (SnapshotState.DESTROYING, SnapshotState.DESTROYED)
"""The states of a snapshot that is deleted, or is about to be."""


class OperationState(_OpenEnum):
    """Source: API schema operation, `state`."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"


class FailureReason(_OpenEnum):
    """Why an operation failed. Source: API schema operation, `reason`."""

    INCORRECT = "incorrect"
    UNAVAILABLE = "unavailable"
    FORBIDDEN = "forbidden"
    BUSY = "busy"
    FAULT = "fault"
    PARTIAL = "partial"
    NOT_FOUND = "not-found"
    INTERRUPTED = "interrupted"
    UNSUPPORTED = "unsupported"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class InstanceState(_OpenEnum):
    """Source: API schema instance, `state`."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    MIGRATING = "migrating"
    EXPUNGING = "expunging"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    ERROR = "error"
    UNKNOWN = "unknown"
