"""Finding what only the cloud knows of this cluster, and what only Kubernetes knows (C4, C6)."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels
from csi_exoblock.errors import DriverError, NotFound
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Snapshot, Volume, VolumeId, ZoneName
from csi_exoblock.states import SNAPSHOT_GOING, VOLUME_GOING, SnapshotState, VolumeState

log = logging.getLogger(__name__)


# Other states say that somebody uses it or the cloud works on it; or they are not known.
_IDLE_VOLUME = (VolumeState.DETACHED, VolumeState.ERROR)
_IDLE_SNAPSHOT = (SnapshotState.CREATED, SnapshotState.ERROR, SnapshotState.PARTIALLY_DESTROYED)

# How Velero 1.18 names its VolumeSnapshots: velero-<claim>-<random letters>.
_VELERO = "velero-"


class OrphanKind(StrEnum):
    """The kind of an orphan."""

    VOLUME = "volume"
    """A volume without PersistentVolume."""
    SNAPSHOT = "snapshot"
    """A snapshot without VolumeSnapshotContent."""
    TWIN = "twin"
    """A volume without PersistentVolume that has the name of another one."""
    TEMPORARY = "temporary"
    """A temporary snapshot of a clone, which the driver will delete (N6)."""
    BACKUP = "backup"
    """A snapshot of Velero's, which keeps no VolumeSnapshotContent of a backup that is complete."""
    MISSING = "missing"
    """A PersistentVolume whose volume does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A volume or snapshot that only one side knows.

    Attributes:
        id: `<zone>/<uuid>`; of a missing volume the handle of its PersistentVolume, in any form.
        name: The name in the cloud; of a missing volume its PersistentVolume's.
        size_gib: `None` for a missing volume.
        created_at: `None` if the API does not report it, and for a missing volume.
        made_for: The claim or snapshot in its labels, in words; empty without such labels.
        is_protected: Whether its label says that somebody keeps it on purpose.
        obstacle: Why it must not be deleted now, in words; empty if nothing prevents it.
    """

    kind: OrphanKind
    id: str
    name: str
    size_gib: int | None
    created_at: datetime | None
    made_for: str
    is_protected: bool
    obstacle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What Kubernetes knows.

    Attributes:
        volumes: Names of this driver's PersistentVolumes by their handles.
        others: Handles of all other PersistentVolumes: a volume can be another driver's by now.
        snapshots: Handles of all VolumeSnapshotContents.
        awaited: Names of the snapshots that this driver is asked for, and has not answered yet.
    """

    volumes: Mapping[str, str]
    others: frozenset[str]
    snapshots: frozenset[str]
    awaited: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """What a search found.

    Attributes:
        unread: Zones that could not be read, and why: nothing is known of what is in them.
    """

    found: tuple[Orphan, ...]
    unread: Mapping[ZoneName, str]


class OrphanSearch:
    """Compares the cloud with Kubernetes; deletes nothing.

    A volume that is just being created or deleted can look like an orphan for a moment.

    Args:
        known: Reads what Kubernetes knows.
    """

    def __init__(self, *, cloud: Cloud, labels: Labels, known: Callable[[Deadline], Known]) -> None:
        self._cloud = cloud
        self._labels = labels
        self._known = known

    def search(self, deadline: Deadline) -> Orphans:
        """Return the orphans of all zones in scope that can be read.

        Raises:
            KubernetesError: Kubernetes can't be asked, or refuses it.
            ApiUnavailable: The list of zones can't be read.
        """
        volumes: dict[ZoneName, Sequence[Volume]] = {}
        snapshots: list[Snapshot] = []
        unread: dict[ZoneName, str] = {}
        for zone in self._cloud.zones(deadline):
            client = self._cloud.zone(zone)
            try:
                listed = list(client.list_volumes(deadline))
                snapshots.extend(client.list_snapshots(deadline))
            except DriverError as error:
                unread[zone] = str(error)
            else:
                volumes[zone] = listed
        # After the cloud: what the lists show has its PersistentVolume by now, if it gets one.
        known = self._known(deadline)
        return Orphans(
            found=(
                *self._volumes([each for zone in volumes.values() for each in zone], known),
                *self._snapshots(snapshots, known),
                *self._missing(volumes, known, deadline),
            ),
            unread=unread,
        )

    def _volumes(self, volumes: Sequence[Volume], known: Known) -> Iterator[Orphan]:
        ours = [each for each in volumes if self._labels.are_ours(each.labels)]
        ours = [each for each in ours if each.state not in VOLUME_GOING]
        by_name = defaultdict(list)
        for volume in ours:
            by_name[self._labels.names_of(volume)].append(volume)
        for volume in ours:
            if str(volume.id) in known.volumes or str(volume.id) in known.others:
                continue
            is_twin = len(by_name[self._labels.names_of(volume)]) > 1
            yield Orphan(
                kind=OrphanKind.TWIN if is_twin else OrphanKind.VOLUME,
                id=str(volume.id),
                name=volume.name,
                size_gib=volume.size_gib,
                created_at=volume.created_at,
                made_for=self._labels.made_for(volume.labels),
                is_protected=self._labels.is_protected(volume),
                obstacle=self._obstacle(volume, _use_of(volume)),
            )

    def _snapshots(self, snapshots: Sequence[Snapshot], known: Known) -> Iterator[Orphan]:
        for snapshot in snapshots:
            if not self._labels.are_ours(snapshot.labels) or snapshot.state in SNAPSHOT_GOING:
                continue
            if str(snapshot.id) in known.snapshots:
                continue
            if self._labels.names_of(snapshot) & known.awaited:
                continue
            kind = self._kind_of(snapshot)
            yield Orphan(
                kind=kind,
                id=str(snapshot.id),
                name=snapshot.name,
                size_gib=snapshot.volume_size_gib,
                created_at=snapshot.created_at,
                made_for=self._labels.made_for(snapshot.labels),
                is_protected=self._labels.is_protected(snapshot),
                obstacle=self._obstacle(
                    snapshot,
                    _work(snapshot.state, idle=_IDLE_SNAPSHOT),
                    "perhaps a backup of Velero's" if kind is OrphanKind.BACKUP else "",
                ),
            )

    def _kind_of(self, snapshot: Snapshot) -> OrphanKind:
        if self._labels.clone_of(snapshot.labels):
            return OrphanKind.TEMPORARY
        if self._labels.snapshot_of(snapshot.labels).startswith(_VELERO):
            return OrphanKind.BACKUP
        return OrphanKind.SNAPSHOT

    def _obstacle(self, thing: Volume | Snapshot, *uses: str) -> str:
        protection = "protected by its label" if self._labels.is_protected(thing) else ""
        return ", ".join(filter(None, (*uses, protection)))

    def _missing(
        self, volumes: Mapping[ZoneName, Sequence[Volume]], known: Known, deadline: Deadline
    ) -> Iterator[Orphan]:
        seen = {str(each.id) for zone in volumes.values() for each in zone}
        for handle, name in known.volumes.items():
            if handle not in seen and self._is_gone(handle, volumes, deadline):
                yield Orphan(
                    kind=OrphanKind.MISSING,
                    id=handle,
                    name=name,
                    size_gib=None,
                    created_at=None,
                    made_for="",
                    is_protected=False,
                    obstacle="",
                )

    def _is_gone(
        self, handle: str, volumes: Mapping[ZoneName, Sequence[Volume]], deadline: Deadline
    ) -> bool:
        """Return whether a volume that no list showed is gone; it can have been created since."""
        try:
            volume_id = VolumeId.parse(handle)
        except NotFound:
            return True
        if volume_id.zone not in volumes:
            return False  # out of scope, or not readable now
        try:
            self._cloud.zone(volume_id.zone).get_volume(volume_id.uuid, deadline)
        except NotFound:
            return True
        except DriverError as error:
            log.info("volume of a PersistentVolume not read", extra={"error": str(error)})
        return False


def _use_of(volume: Volume) -> str:
    if volume.attached_to:
        return f"attached to instance {volume.attached_to.uuid}"
    return _work(volume.state, idle=_IDLE_VOLUME)


def _work(
    state: VolumeState | SnapshotState, *, idle: Collection[VolumeState | SnapshotState]
) -> str:
    if state in (VolumeState.CREATING, SnapshotState.CREATING):
        return "still being made"
    return "" if state in idle else f"in state {state}"
