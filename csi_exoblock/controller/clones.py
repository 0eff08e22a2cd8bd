"""Cloning a volume by way of a snapshot that lives only as long as that takes (N6)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.snapshots import Snapshots
from csi_exoblock.controller.specs import SnapshotSpec, VolumeSpec
from csi_exoblock.controller.zone_lists import ZoneLists
from csi_exoblock.errors import ApiUnavailable, DriverError, WrongZone
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Snapshot, SnapshotId, Volume, VolumeId, ZoneName

log = logging.getLogger(__name__)


class Clones:
    """Takes the temporary snapshots, and sees that each goes once nobody needs it.

    One that can't be deleted yet never fails anything: it is found by its label when its source or
    its clone is deleted, or swept later, by whatever process runs then.
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        snapshots: Snapshots,
        lists: ZoneLists[Snapshot],
        labels: Labels,
        timing: Timing,
    ) -> None:
        self._cloud = cloud
        self._snapshots = snapshots
        self._lists = lists
        self._labels = labels
        self._timing = timing
        self._taken: dict[tuple[str, VolumeId], SnapshotId] = {}
        self._wanted_at: dict[SnapshotId, float] = {}  # in monotonic seconds

    def snapshot_for(self, spec: VolumeSpec, deadline: Deadline) -> SnapshotId | None:
        """Return the snapshot that the volume is made from; a clone's is taken unless it exists.

        Raises:
            NotFound: The volume to be cloned does not exist.
            WrongState: It has as many snapshots as it may have, or the quota is exhausted.
            OperationFailed: The snapshot came out broken.
        """
        if not isinstance(spec.source, VolumeId):
            return spec.source
        name = self._labels.clone_name(spec)
        wanted = SnapshotSpec(
            name=name,
            visible_name=name,
            volume_id=spec.source,
            about={**spec.about, "clone-of": str(spec.source.uuid)},
        )
        snapshot = self._snapshots.create(wanted, deadline)
        self._taken[name, spec.source] = snapshot.id
        self._wanted_at[snapshot.id] = time.monotonic()
        return snapshot.id

    @contextmanager
    def tidying_up(self, spec: VolumeSpec, entry: Entry, deadline: Deadline) -> Iterator[None]:
        """Delete a clone's snapshot once the block has made the clone, or failed for good.

        Never while the clone may be on its way: its content comes from the snapshot.

        Args:
            entry: The clone's name's.

        Raises:
            ApiUnavailable: The block failed, and what was taken for it is not gone yet.
        """
        try:
            yield
        except DriverError as error:
            if entry.is_open_after(error):
                raise
            left = self._tidy_up(spec, deadline)
            if left and not isinstance(error, WrongZone):  # that has to be said in any case
                raise ApiUnavailable(f"{error}; its temporary snapshot remains: {left}") from error
            raise
        self._tidy_up(spec, deadline)

    def release_source(self, volume: Volume, deadline: Deadline) -> None:
        """Delete what clones left of a volume that is to be deleted: it might keep the volume."""
        if volume.snapshot_ids:
            uuid = str(volume.id.uuid)
            self._clear(
                volume.id.zone, lambda each: self._labels.clone_of(each.labels) == uuid, deadline
            )

    def release_clone(self, volume: Volume, deadline: Deadline) -> None:
        """Delete the snapshot that a deleted volume was cloned from, if the volume kept it."""
        if self._labels.source_of(volume.labels):
            names = self._labels.clone_names_of(volume)
            self._clear(
                volume.id.zone,
                lambda each: not self._labels.names_of(each).isdisjoint(names),
                deadline,
            )

    def release_remains(self, gone: VolumeId, deadline: Deadline) -> None:
        """Delete what clones left of a volume that is gone: who deleted it may have died over that.

        So may who deleted a clone, of which then only the snapshot's source tells: it is gone too.
        """
        sources: set[str] = set()

        def is_needless(snapshot: Snapshot) -> bool:
            source = self._labels.clone_of(snapshot.labels)
            if source == str(gone.uuid):
                return True
            if not sources:
                volumes = self._cloud.zone(gone.zone).list_volumes(deadline)
                sources.update(str(each.id.uuid) for each in volumes)
            return source not in sources

        self._clear(gone.zone, is_needless, deadline)

    def sweep(self, deadline: Deadline) -> None:
        """Delete every temporary snapshot that is too old for a clone in the making to need it.

        Old is what was taken long ago by the cloud's clock, or first seen here long ago where the
        API does not say when it was taken, and what no create has asked for since.
        """
        oldest = time.monotonic() - 2 * self._timing.clone_snapshot_age
        for snapshot_id, wanted_at in list(self._wanted_at.items()):
            if wanted_at < oldest:
                self._wanted_at.pop(snapshot_id, None)
        for zone in self._cloud.zones(deadline):
            self._clear(zone, self._is_old, deadline)

    def _tidy_up(self, spec: VolumeSpec, deadline: Deadline) -> str:
        """Delete what was taken for a clone, if it is one; say why it is left, if it is."""
        if not isinstance(spec.source, VolumeId):
            return ""
        name, source = self._labels.clone_name(spec), spec.source
        if snapshot_id := self._taken.pop((name, source), None):
            return self._delete(snapshot_id, deadline)
        return self._clear(
            source.zone,
            lambda each: (
                name in self._labels.names_of(each)
                and self._labels.clone_of(each.labels) == str(source.uuid)
            ),
            deadline,
        )

    def _is_old(self, snapshot: Snapshot) -> bool:
        if snapshot.created_at:
            age = self._cloud.now() - snapshot.created_at.timestamp()
            if age <= self._timing.clone_snapshot_age:
                return False
            wanted_at = self._wanted_at.get(snapshot.id, -math.inf)
        else:
            wanted_at = self._wanted_at.setdefault(snapshot.id, time.monotonic())
        return time.monotonic() - wanted_at > self._timing.clone_snapshot_age

    def _clear(
        self, zone: ZoneName, is_needless: Callable[[Snapshot], bool], deadline: Deadline
    ) -> str:
        """Delete the needless ones among our temporary snapshots; say why one is left, if one is.

        A name alone would not do: snapshots are the user's data, and ours carry a label.
        """
        logs.step("looking for temporary snapshots")
        try:
            everything = self._lists.list_zone(zone, deadline)
            temporary = [each for each in everything if self._is_temporary(each)]
            needless = [each for each in temporary if is_needless(each)]
        except DriverError as error:
            log.warning("temporary snapshots not found", extra={"error": str(error)})
            return str(error)
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
