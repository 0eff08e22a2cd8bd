"""What creates ask for, in the controller's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_exoblock.capacity import CapacityRange
from csi_exoblock.model import SnapshotId, VolumeId, ZoneName


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """What a create of a volume asks for.

    Attributes:
        name: The name by which a repeated create finds its volume again.
        visible_name: The name that people see in the cloud; the same unless a class has a template.
        zones: Where the volume may be, the preferred zones first; empty if nothing is asked.
        zone_parameter: The class's parameter `zone`, for requests without zones.
        source: The snapshot or volume whose content the volume gets.
        labels: What the class asks for.
        about: Our own labels without prefix that say whose it is: `pv`, `pvc`, `namespace`.
    """

    name: str
    visible_name: str
    size: CapacityRange
    zones: tuple[ZoneName, ...] = ()
    zone_parameter: ZoneName | None = None
    source: SnapshotId | VolumeId | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec:
    """What a create of a snapshot asks for.

    Attributes:
        name: The name by which a repeated create finds its snapshot again.
        visible_name: The name that people see in the cloud; the same unless a class has a template.
        zones: Where the snapshot may be; empty if nothing is asked (N17).
        labels: What the class asks for.
        about: Our own labels without prefix: `snapshot`, `snapshot-namespace`, `clone-of`.
    """

    name: str
    visible_name: str
    volume_id: VolumeId
    zones: tuple[ZoneName, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def clone_of(self) -> str | None:
        """The UUID of the volume that is cloned by way of it, `None` for a user's snapshot."""
        return self.about.get("clone-of")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeChanges:
    """What a VolumeAttributesClass asks of a volume that exists (N10).

    Attributes:
        visible_name: `None` leaves the name as it is.
        labels: To be added or replaced; all others stay.
        removed: Keys of labels that are to go.
    """

    visible_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedVolume:
    """The volume that satisfies a spec, made by this call or an earlier one."""

    id: VolumeId
    size_gib: int
