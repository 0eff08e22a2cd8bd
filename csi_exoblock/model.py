"""The values that the driver works with: ids, volumes, snapshots, operations, instances, quotas.

Nothing here calls the API, reads the host, or knows JSON or protobuf.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self
from uuid import UUID

from csi_exoblock.errors import NotFound
from csi_exoblock.states import (
    FailureReason,
    InstanceState,
    OperationState,
    SnapshotState,
    VolumeState,
)

ZoneName = NewType("ZoneName", str)
"""A zone of the cloud, such as `ch-gva-2`."""

BYTES_PER_GIB = 1024**3

_ZONE = r"[a-z0-9-]{1,63}"
_ID = re.compile(rf"({_ZONE})/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})", re.ASCII)


def is_zone_name(text: str) -> bool:
    """Return whether a text can be a zone's name, which becomes part of ids and of URLs (F18)."""
    return re.fullmatch(_ZONE, text, re.ASCII) is not None


def topology_key(driver_name: str) -> str:
    """Return the key under which a driver's topology segments name the zone (S12)."""
    return f"topology.{driver_name}/zone"


@dataclass(frozen=True, slots=True, order=True)
class ResourceId:
    """An id as the orchestrator stores it: `<zone>/<uuid>`."""

    zone: ZoneName
    uuid: UUID

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id.

        Raises:
            NotFound: The text is no id, so nothing can exist under it.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise NotFound(
                f"{cls.noun()} {text[:100]!r} does not exist: ids have the form <zone>/<uuid>"
            )
        return cls(ZoneName(match[1]), UUID(match[2]))

    @classmethod
    def noun(cls) -> str:
        """Return the word for the resource in messages, such as `volume`."""
        return cls.__name__.removesuffix("Id").lower()

    def __str__(self) -> str:
        return f"{self.zone}/{self.uuid}"


class VolumeId(ResourceId):
    """The id of a volume."""

    __slots__ = ()


class SnapshotId(ResourceId):
    """The id of a snapshot."""

    __slots__ = ()


class NodeId(ResourceId):
    """The id of a node's instance."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A block storage volume as the API last reported it.

    Attributes:
        created_at: `None` if the API does not report it.
    """

    id: VolumeId
    name: str
    size_gib: int
    state: VolumeState
    attached_to: NodeId | None
    labels: Mapping[str, str]
    snapshot_ids: tuple[SnapshotId, ...]
    created_at: datetime | None

    @property
    def ailments(self) -> tuple[Ailment, ...]:
        """The faults that the cloud reports; none while the volume is healthy or changing (N7)."""
        if self.state is not VolumeState.ERROR:
            return ()
        message = (
            f"volume {self.id} is in state error in the cloud: ask Exoscale's support, "
            "or restore its latest snapshot into a new claim"
        )
        return (Ailment(reason="ApiError", message=message),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old a volume was when it was attached, by the cloud's own times (N19).

    Attributes:
        created_at: When the cloud made it.
        attached_at: What the cloud's clock said when the volume was last said to be attached.
    """

    created_at: datetime
    attached_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot as the API last reported it.

    Attributes:
        volume_id: The volume of which it was taken; that volume might be deleted.
        volume_size_gib: The size of that volume in GiB; a restore is at least as large.
        created_at: `None` if the API does not report it.
    """

    id: SnapshotId
    name: str
    state: SnapshotState
    volume_id: VolumeId | None
    volume_size_gib: int
    labels: Mapping[str, str]
    created_at: datetime | None

    @property
    def is_ready(self) -> bool:
        """Whether a volume can be created from it, also while another one is being created."""
        return self.state in (SnapshotState.CREATED, SnapshotState.PROMOTING)

    @property
    def is_broken(self) -> bool:
        """Whether it will never be ready."""
        return self.state in (SnapshotState.ERROR, SnapshotState.PARTIALLY_DESTROYED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The API's asynchronous job, with which it answers every write except a resize.

    Attributes:
        kind: Id of the API operation that began it, such as `create-block-storage-volume`; empty
            if the operation was read back, as the API does not report it then.
        reference: The resource that it changes or creates, `None` if the API does not name it.
        reason: Why it failed; `None` unless the state is `failure`.
        message: The API's own words, perhaps empty.
        about: The volume or snapshot that it creates or changes, `None` if that is not known.
        instance: The instance of an attach, `None` for every other kind.
        copies: Whether it makes a copy of content, of which a state proves nothing.
        begun_at: When the driver learnt that it began, in seconds of the monotonic clock.
    """

    id: UUID
    zone: ZoneName
    kind: str = ""
    state: OperationState
    reference: UUID | None
    reason: FailureReason | None
    message: str
    about: UUID | None = None
    instance: UUID | None = None
    copies: bool = False
    begun_at: float = field(default_factory=time.monotonic, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A compute instance, which the orchestrator calls a node.

    Attributes:
        type_id: The id of its instance type, `None` if the API does not report it.
    """

    id: NodeId
    state: InstanceState
    type_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of a resource the organisation may use.

    Attributes:
        limit: `None` means unlimited.
    """

    resource: str
    usage: int
    limit: int | None


class Filesystem(StrEnum):
    """The file systems that the driver formats."""

    EXT4 = "ext4"
    EXT3 = "ext3"
    XFS = "xfs"
    BTRFS = "btrfs"


class AccessMode(StrEnum):
    """How a workload may use a volume: the modes that one instance can serve (F15).

    Source: CSI 1.13, VolumeCapability.AccessMode.
    """

    SINGLE_NODE_WRITER = "SINGLE_NODE_WRITER"
    SINGLE_NODE_READER_ONLY = "SINGLE_NODE_READER_ONLY"
    SINGLE_NODE_SINGLE_WRITER = "SINGLE_NODE_SINGLE_WRITER"
    SINGLE_NODE_MULTI_WRITER = "SINGLE_NODE_MULTI_WRITER"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAccess:
    """The workload sees the raw block device."""

    mode: AccessMode


@dataclass(frozen=True, slots=True, kw_only=True)
class MountAccess:
    """The workload sees a mounted file system.

    Attributes:
        mount_flags: The orchestrator's mount options, checked, never split.
    """

    mode: AccessMode
    filesystem: Filesystem
    mount_flags: tuple[str, ...]


Access = BlockAccess | MountAccess
"""The access that a volume capability requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """A fault of a volume (N7).

    Attributes:
        reason: One stable word in CamelCase, for programs.
        message: Cause and remedy, for people.
        usable: Whether the volume still serves its pods.
    """

    reason: str
    message: str
    usable: bool = False

    @property
    def status(self) -> str:
        """The volume's status with this fault, in CSI's words."""
        return "DEGRADED" if self.usable else "INACCESSIBLE"
