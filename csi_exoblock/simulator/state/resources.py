"""The resources of the simulated cloud: volumes, snapshots, instances and operations.

Values never change; the cloud replaces them. So the JSON of a value is made only once
(`simulator.http.wire`), and a zone of 10,000 volumes is listed quickly. Values compare by identity.
Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from csi_exoblock.simulator.state.instance_types import InstanceSize


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
        instance: The instance to which it is attached, or is being attached or detached.
        snapshots: Its snapshots, oldest first.
        source: The snapshot from which it was created; the API never reports it.
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
        """The volume's state while no operation works on it."""
        return VolumeState.ATTACHED if self.instance else VolumeState.DETACHED

    @property
    def is_settled(self) -> bool:
        """Whether no operation works on it and it has no error."""
        return self.state in (VolumeState.ATTACHED, VolumeState.DETACHED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Snapshot:
    """A snapshot; it can outlive its volume.

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
    """An instance, to which volumes can be attached.

    Attributes:
        is_local: Whether it is this host; its volumes become block devices here.
        is_locked: Whether every change of it and of its volumes is refused.
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
    """The changes of an update; None changes nothing."""

    name: str | None = None
    labels: Mapping[str, str] | None = None


class Leaves(StrEnum):
    """The state that an operation leaves behind when it ends."""

    DONE = "done"
    NOTHING = "nothing"
    ERROR = "error"
    HALFWAY = "halfway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an operation will end.

    Attributes:
        state: The final state; pending means that the operation hangs.
        calls: The operation ends after this many further calls of the API. A hanging operation then
            succeeds, and None means never; for the others this replaces the latency.
        leaves: Whether the effect takes place, nothing changes, the resource gets the state error,
            or it keeps its intermediate state for ever.
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
        target: The volume or snapshot that it creates or changes.
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
