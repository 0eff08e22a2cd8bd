"""Cloning a volume by a temporary snapshot, which is deleted once the clone is made (N6)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels, marked, new_mark
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.snapshots import Snapshots
from csi_exoblock.controller.specs import SnapshotSpec, VolumeSpec
from csi_exoblock.controller.zone_lists import ZoneLists
from csi_exoblock.errors import ApiUnavailable, DriverError, NotFound, WrongZone
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Snapshot, SnapshotId, Volume, VolumeId, ZoneName
from csi_exoblock.states import SNAPSHOT_COMING, SNAPSHOT_GOING, SnapshotState, VolumeState
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)

# The cloud makes the snapshot, or restores it. Only it knows how long a large volume takes.
_AT_WORK = (*SNAPSHOT_COMING, SnapshotState.PROMOTING)

_REMEMBERED = 24  # ages; one that the API does not delete begins its age again after that


class Clones:
    """Creates the temporary snapshots of clones, and deletes each once no clone needs it.

    A snapshot that can't be deleted yet never fails a clone. Any process finds it later by its
    label: when its source or its clone is deleted, or in an hourly sweep.

    The API can drop the label, and lose the answer that names the snapshot. Then only the mark of
    this process in the snapshot's name proves that it is no user's.
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        snapshots: Snapshots,
        lists: ZoneLists[Snapshot],
        volumes: RecentCreations,
        labels: Labels,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._snapshots = snapshots
        self._lists = lists
        self._volumes = volumes
        self._labels = labels
        self._timing = timing
        self._mark = new_mark()
        self._created: dict[tuple[str, VolumeId], SnapshotId] = {}
        self._wanted_at: dict[SnapshotId, float] = {}  # or first seen, in monotonic seconds

    def snapshot_for(self, spec: VolumeSpec, deadline: Deadline) -> SnapshotId | None:
        """Return the snapshot that the volume is made from, `None` for a blank volume.

        That of a clone is created, unless an earlier call did.

        Raises:
            NotFound: The volume to be cloned does not exist.
            WrongState: It has as many snapshots as it may have, or the quota is exhausted.
            OperationFailed: The snapshot came out broken.
        """
        if isinstance(spec.source, VolumeId):
            return self._create_temporary(spec, spec.source, deadline)
        return spec.source

    @contextmanager
    def tidying_up(self, spec: VolumeSpec, entry: Entry, deadline: Deadline) -> Iterator[None]:
        """Delete a clone's temporary snapshot once the block has made the clone or failed for good.

        It stays while the clone can still be made: the clone's content comes from it. A deletion
        that takes too long goes on without the clone that is made.

        Args:
            entry: That of the clone's name.

        Raises:
            ApiUnavailable: The block failed, and its temporary snapshot is not gone yet.
        """
        try:
            yield
        except DriverError as error:
            if entry.is_open_after(error):
                raise
            left = self._tidy_up(spec, deadline)
            if left and not isinstance(error, WrongZone):  # else the pod is never moved (C3)
                raise ApiUnavailable(f"{error}; its temporary snapshot remains: {left}") from error
            raise
        self._tidy_up(spec, deadline.within(self._timing.clone_tidying))

    def release_source(self, volume: Volume, deadline: Deadline) -> None:
        """Delete the temporary snapshots of a volume that is to be deleted: they can keep it."""
        if volume.snapshot_ids:
            uuid = str(volume.id.uuid)
            self._delete_needless(
                volume.id.zone, lambda each: self._labels.clone_of(each.labels) == uuid, deadline
            )

    def release_clone(self, volume: Volume, deadline: Deadline) -> None:
        """Delete the temporary snapshot of a deleted clone, which the clone can have kept."""
        if self._labels.source_of(volume.labels):
            names = self._labels.clone_names_of(volume)
            self._delete_needless(
                volume.id.zone,
                lambda each: not self._labels.names_of(each).isdisjoint(names),
                deadline,
            )

    def release_remains(self, gone: VolumeId, deadline: Deadline) -> None:
        """Delete the temporary snapshots that a volume, deleted earlier, has left.

        The process that deleted it can have died before it deleted them. If the volume was a clone,
        nothing names its snapshot any more: so those of all sources that are gone are deleted.
        """
        wanted = set(self._created.copy().values())  # clones of this process are still being made

        @cache
        def listed() -> frozenset[str]:
            volumes = self._cloud.zone(gone.zone).list_volumes(deadline)
            return frozenset(str(each.id.uuid) for each in volumes)

        def is_needless(snapshot: Snapshot) -> bool:
            source = self._labels.clone_of(snapshot.labels)
            if source == str(gone.uuid):
                return True
            if snapshot.id in wanted:
                return False
            return source not in listed() and self._is_gone(f"{gone.zone}/{source}", deadline)

        self._delete_needless(gone.zone, is_needless, deadline)

    def sweep(self) -> float:
        """Delete all old temporary snapshots; return the seconds until the next time.

        Old means created an hour ago by the cloud's clock, and for as long neither asked for by a
        create nor at work. The age that counts for the latter begins when it is first seen here, so
        that a clone has its time even if taking the snapshot took hours, in another replica too.
        """
        oldest = time.monotonic() - _REMEMBERED * self._timing.clone_snapshot_age
        for snapshot_id, wanted_at in list(self._wanted_at.items()):
            if wanted_at < oldest:
                self._wanted_at.pop(snapshot_id, None)
        try:
            for zone in self._cloud.zones(Deadline(self._timing.create_timeout)):
                # Each has time of its own: what hangs in one holds up no other.
                self._sweep_zone(zone, Deadline(self._timing.create_timeout))
        except DriverError as error:
            log.warning("not swept", extra={"error": str(error)})
        return self._timing.sweep_interval

    def _sweep_zone(self, zone: ZoneName, deadline: Deadline) -> None:
        @cache
        def restored() -> frozenset[str]:  # read only for what is old, so hardly ever
            volumes = self._cloud.zone(zone).list_volumes(deadline)
            creating = [each for each in volumes if each.state is VolumeState.CREATING]
            return frozenset().union(*map(self._labels.clone_names_of, creating))

        self._delete_needless(
            zone,
            lambda each: self._is_old(each) and self._labels.names_of(each).isdisjoint(restored()),
            deadline,
        )

    def _is_gone(self, source: str, deadline: Deadline) -> bool:
        """Return whether a volume does not exist; a list can lack one that is new (C1)."""
        try:
            volume_id = VolumeId.parse(source)
            if not self._volumes.seconds_until_shown(volume_id.zone, volume_id.uuid):
                self._cloud.zone(volume_id.zone).get_volume(volume_id.uuid, deadline)
        except NotFound:
            return True
        return False

    def _create_temporary(
        self, spec: VolumeSpec, source: VolumeId, deadline: Deadline
    ) -> SnapshotId:
        """Return a clone's temporary snapshot; create it unless an earlier call did."""
        name = self._labels.clone_name(spec)
        wanted = SnapshotSpec(
            name=name,
            visible_name=marked(name, self._mark),
            volume_id=source,
            about={**spec.about, "clone-of": str(source.uuid)},
        )
        snapshot = self._snapshots.create(wanted, deadline)
        self._created[name, source] = snapshot.id
        self._wanted_at[snapshot.id] = time.monotonic()
        return snapshot.id

    def _tidy_up(self, spec: VolumeSpec, deadline: Deadline) -> str:
        """Delete the temporary snapshot of a clone; return why it is left, or an empty string."""
        if not isinstance(spec.source, VolumeId):
            return ""
        name, source = self._labels.clone_name(spec), spec.source
        if snapshot_id := self._created.pop((name, source), None):
            return self._delete(snapshot_id, deadline)
        return self._delete_needless(
            source.zone,
            lambda each: (
                name in self._labels.names_of(each)
                and self._labels.clone_of(each.labels) == str(source.uuid)
            ),
            deadline,
        )

    def _is_old(self, snapshot: Snapshot) -> bool:
        if snapshot.state in _AT_WORK:
            self._wanted_at.pop(snapshot.id, None)
            return False
        wanted_at = self._wanted_at.setdefault(snapshot.id, time.monotonic())
        if snapshot.created_at:
            age = self._cloud.now() - snapshot.created_at.timestamp()
            if age <= self._timing.clone_snapshot_age:
                return False
        return time.monotonic() - wanted_at > self._timing.clone_snapshot_age

    def _delete_needless(
        self, zone: ZoneName, is_needless: Callable[[Snapshot], bool], deadline: Deadline
    ) -> str:
        """Delete the needless temporary snapshots of a zone.

        Returns why any of them is left, or an empty string. Only those with the driver's label
        count, whatever their names are: other snapshots are the user's data.
        """
        logs.step("looking for temporary snapshots")
        try:
            everything = self._lists.list_zone(zone, deadline)
            temporary = [each for each in everything if self._is_temporary(each)]
            needless = [each for each in temporary if is_needless(each)]
        except DriverError as error:
            log.warning("temporary snapshots not found", extra={"error": str(error)})
            return str(error)
        needless.sort(key=lambda each: each.state in SNAPSHOT_GOING)  # these may stay so for ever
        left = [self._delete(each.id, deadline) for each in needless]
        return "; ".join(filter(None, left))

    def _is_temporary(self, snapshot: Snapshot) -> bool:
        labels = snapshot.labels
        return self._labels.are_ours(labels) and self._labels.clone_of(labels) is not None

    def _delete(self, snapshot_id: SnapshotId, deadline: Deadline) -> str:
        try:
            self._snapshots.delete(snapshot_id, deadline)
        except DriverError as error:
            log.warning("temporary snapshot not deleted", extra={"error": str(error)})
            return str(error)
        return ""
