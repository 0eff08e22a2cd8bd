"""The requests to create and change, without CSI: names, sizes, zones and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_exoblock.capacity import CapacityRange
from csi_exoblock.model import SnapshotId, VolumeId, ZoneName


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """The request to create a volume.

    Attributes:
        name: The name by which a repeated create finds its volume again.
        visible_name: The name that people see in the cloud; the same unless a class has a template.
        zones: The allowed zones, the preferred ones first; empty allows any.
        zone_parameter: The class's parameter `zone`, used if the request names no zones.
        source: The snapshot or volume whose content the volume gets.
        labels: The labels in the class.
        about: The driver's labels, without their prefix, that say whose it is: `pv`, `pvc`,
            `namespace`.
    """

    name: str
    visible_name: str
    size: CapacityRange
    zones: tuple[ZoneName, ...] = ()
    zone_parameter: ZoneName | None = None
    source: SnapshotId | VolumeId | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def copies(self) -> bool:
        """Whether it gets content, which can be missing although its state and size are right."""
        return self.source is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec:
    """The request to create a snapshot.

    Attributes:
        name: The name by which a repeated create finds its snapshot again.
        visible_name: The name that people see in the cloud; the same unless a class has a template.
            That of a temporary one has the mark of this process.
        zones: The allowed zones; empty allows any (N17).
        labels: The labels in the class.
        about: The driver's labels, without their prefix: `snapshot`, `snapshot-namespace`,
            `clone-of`.
    """

    name: str
    visible_name: str
    volume_id: VolumeId
    zones: tuple[ZoneName, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def copies(self) -> bool:
        """Whether it gets content: every snapshot does."""
        return True

    @property
    def clone_of(self) -> str | None:
        """The UUID of the volume that is cloned by it, `None` for a user's snapshot."""
        return self.about.get("clone-of")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeChanges:
    """The changes that a VolumeAttributesClass asks for (N10).

    Attributes:
        visible_name: The new name; `None` leaves the name as it is.
        labels: The labels to add or replace; all others stay.
        removed: The keys of the labels to remove.
    """

    visible_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedVolume:
    """The volume that satisfies a spec, created by this call or an earlier one."""

    id: VolumeId
    size_gib: int
