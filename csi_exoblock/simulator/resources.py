"""Describe what the simulated cloud holds: volumes, snapshots, instances and operations.

Values never change; the cloud replaces them. That is what lets a zone of 10,000 volumes be listed
quickly: the JSON of a value is made once (`csi_exoblock.simulator.wire`). They compare by identity,
and times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from csi_exoblock.simulator.instance_types import InstanceSize


class VolumeState(StrEnum):
    """The states of a volume, as the API spells them."""

    ATTACHED = "attached"
    ATTACHING = "attaching"
    CREATING = "creating"
    DELETED = "deleted"
    DELETING = "deleting"
    DETACHED = "detached"
    DETACHING = "detaching"
    ERROR = "error"
    SNAPSHOTTING = "snapshotting"


class SnapshotState(StrEnum):
    """The states of a snapshot, as the API spells them."""

    ALLOCATED = "allocated"
    CREATED = "created"
    CREATING = "creating"
    DESTROYED = "destroyed"
    DESTROYING = "destroying"
    ERROR = "error"
    PARTIALLY_DESTROYED = "partially-destroyed"
    PROMOTING = "promoting"


class InstanceState(StrEnum):
    """The states of an instance, as the API spells them."""

    DESTROYED = "destroyed"
    DESTROYING = "destroying"
    ERROR = "error"
    EXPUNGING = "expunging"
    MIGRATING = "migrating"
    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    STOPPING = "stopping"


class OperationState(StrEnum):
    """The states of an operation, as the API spells them."""

    FAILURE = "failure"
    PENDING = "pending"
    SUCCESS = "success"
    TIMEOUT = "timeout"


class Reason(StrEnum):
    """Why an operation failed, as the API spells it."""

    BUSY = "busy"
    CONFLICT = "conflict"
    FAULT = "fault"
    FORBIDDEN = "forbidden"
    INCORRECT = "incorrect"
    INTERRUPTED = "interrupted"
    NOT_FOUND = "not-found"
    PARTIAL = "partial"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    UNSUPPORTED = "unsupported"


class Kind(StrEnum):
    """What an operation does; the names are also the keys of `--latency`."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ATTACH = "attach"
    DETACH = "detach"
    SNAPSHOT = "snapshot"
    UPDATE_SNAPSHOT = "update-snapshot"
    DELETE_SNAPSHOT = "delete-snapshot"

    @property
    def is_about_snapshot(self) -> bool:
        """Whether the operation's reference is a snapshot instead of a volume."""
        return self in (Kind.SNAPSHOT, Kind.UPDATE_SNAPSHOT, Kind.DELETE_SNAPSHOT)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Volume:
    """A volume.

    Attributes:
        instance: Where it is attached, or being attached to or detached from.
        snapshots: Its snapshots, oldest first.
        source: The snapshot it was made from; the API never tells.
    """

    id: UUID
    name: str
    size_gib: int
    state: VolumeState
    labels: Mapping[str, str]
    created_at: float
    instance: UUID | None = None
    snapshots: tuple[UUID, ...] = ()
    source: UUID | None = None

    @property
    def settled_state(self) -> VolumeState:
        """The state in which it is when nothing is being done to it."""
        return VolumeState.ATTACHED if self.instance else VolumeState.DETACHED

    @property
    def is_settled(self) -> bool:
        """Whether nothing is being done to it and nothing is wrong with it."""
        return self.state in (VolumeState.ATTACHED, VolumeState.DETACHED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Snapshot:
    """A snapshot; it may outlive its volume.

    Attributes:
        volume_size_gib: The volume's size when it was taken.
    """

    id: UUID
    name: str
    volume: UUID
    volume_size_gib: int
    state: SnapshotState
    labels: Mapping[str, str]
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """A machine to which volumes can be attached.

    Attributes:
        is_local: Whether it is this host: what is attached to it becomes a block device here.
        is_locked: Whether it is protected against every change, its volumes included.
    """

    id: UUID
    name: str
    state: InstanceState
    created_at: float
    size: InstanceSize = InstanceSize.MEDIUM
    is_local: bool = False
    is_locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an update asks for; None leaves a thing as it is."""

    name: str | None = None
    labels: Mapping[str, str] | None = None


class Leaves(StrEnum):
    """What an operation leaves behind when it ends."""

    DONE = "done"
    NOTHING = "nothing"
    ERROR = "error"
    HALFWAY = "halfway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an operation is going to end.

    Attributes:
        state: Pending means that it hangs.
        calls: After how many further calls of the API it ends: a hanging one well, any other
            instead of at its time; None means never for a hanging one.
        leaves: Whether the effect takes place, or all is as before, or the resource is left in
            state error, or for good in the state that it had meanwhile.
        reference: Whether the operation names its resource.
    """

    state: OperationState = OperationState.SUCCESS
    leaves: Leaves = Leaves.DONE
    reason: Reason | None = None
    message: str | None = None
    calls: int | None = None
    reference: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """An asynchronous job on one volume or snapshot.

    Attributes:
        target: The volume or snapshot that it is about.
        due_at: When it ends.
        change: For an update, what to change; for a creation, the name.
    """

    id: UUID
    zone: str
    kind: Kind
    target: UUID
    started_at: float
    due_at: float
    state: OperationState = OperationState.PENDING
    ending: Ending = Ending()
    change: Change = Change()
    finished_at: float | None = None
