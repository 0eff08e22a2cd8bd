"""Snapshots: one for each name, with true size and time (S18, N17)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from contextlib import suppress
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Entry, Ledger
from csi_exoblock.controller.lookup import Lookup
from csi_exoblock.controller.placement import require_accessible
from csi_exoblock.controller.refusals import failed, refused
from csi_exoblock.controller.relabelling import LabelWriter
from csi_exoblock.controller.specs import SnapshotSpec
from csi_exoblock.controller.taking import BROKEN, SnapshotTaker
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    DriverError,
    Mismatch,
    NotFound,
    OperationFailed,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import FailureReason, OperationState, Snapshot, SnapshotId, SnapshotState

log = logging.getLogger(__name__)

_MOST_NAMED = 1000  # of which each that failed stays until its user deletes the VolumeSnapshot
_GOING = (SnapshotState.DESTROYING, SnapshotState.DESTROYED)


class Snapshots:
    """Creates, reads and deletes snapshots."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        lookup: Lookup[Snapshot],
        taker: SnapshotTaker,
        labels: Labels,
        writer: LabelWriter,
        timing: Timing,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._lookup = lookup
        self._taker = taker
        self._labels = labels
        self._writer = writer
        self._timing = timing
        self._named: OrderedDict[str, SnapshotId] = OrderedDict()

    def create(self, spec: SnapshotSpec, deadline: Deadline) -> Snapshot:
        """Return the snapshot of that name; take it unless an earlier call did.

        It may still be `creating`, with its id, size and time already final.

        Raises:
            NotFound: The volume does not exist.
            Mismatch: The name belongs to a snapshot of another volume, or not to us.
            WrongState: The volume has as many snapshots as it may have, or the quota is exhausted.
            WrongZone: The snapshot may not be in the volume's zone.
            OperationFailed: The snapshot came out broken.
        """
        require_accessible(spec.volume_id, spec.zones)
        with self._ledger.hold_name(f"snapshot name {spec.name}") as entry:
            if named := self._named.get(spec.name):
                snapshot = self._taker.follow(named, entry, deadline)
            else:
                snapshot = self._find_or_take(spec, entry, deadline)
        self._require_same(snapshot, spec)
        self._keep_in_mind(spec.name, snapshot)
        self._repair_labels(snapshot, spec, deadline)
        return snapshot

    def take_for_a_while(self, spec: SnapshotSpec, deadline: Deadline) -> Snapshot:
        """Return a snapshot of that name which only this driver knows of, as `create` does."""
        with self._ledger.hold_name(f"snapshot name {spec.name}") as entry:
            snapshot = self._find_or_take(spec, entry, deadline)
        self._require_same(snapshot, spec)
        return snapshot

    def prepare(self, snapshot: Snapshot, spec: SnapshotSpec, deadline: Deadline) -> None:
        """Wait until the snapshot is ready or never will be, and see that it has its labels."""
        self._repair_labels(self._taker.until_ready(snapshot, deadline), spec, deadline)

    def get(self, snapshot_id: SnapshotId, deadline: Deadline) -> Snapshot:
        """Return the snapshot.

        Raises:
            NotFound: It does not exist.
        """
        return self._cloud.zone(snapshot_id.zone).get_snapshot(snapshot_id.uuid, deadline)

    def delete(self, snapshot_id: SnapshotId, deadline: Deadline) -> None:
        """Delete the snapshot; return once it is gone.

        Raises:
            WrongState: A restore from it is running, or it is another cluster's (D12).
        """
        deadline = deadline.within(self._timing.create_timeout)
        with self._ledger.hold(f"snapshot {snapshot_id}") as entry, suppress(NotFound):
            self._ledger.join(entry, deadline)
            self._labels.require_own(self.get(snapshot_id, deadline))
            self._delete(snapshot_id, entry, deadline)

    def _find_or_take(self, spec: SnapshotSpec, entry: Entry, deadline: Deadline) -> Snapshot:
        snapshot = self._taker.take_up(spec, entry, deadline)
        snapshot = snapshot or self._find(spec, entry, deadline)
        snapshot = snapshot or self._taker.take(spec, entry, deadline)
        names = self._labels.names_for(spec)
        self._lookup.remember(names, snapshot.id.zone, snapshot.id.uuid)
        return snapshot

    def _keep_in_mind(self, name: str, snapshot: Snapshot) -> None:
        """Note what an answer names before it is ready: callers store that id for ever (S18)."""
        if snapshot.state is SnapshotState.CREATED:
            self._named.pop(name, None)
        else:
            self._named[name] = snapshot.id
        if len(self._named) > _MOST_NAMED:
            self._named.popitem(last=False)

    def _find(self, spec: SnapshotSpec, entry: Entry, deadline: Deadline) -> Snapshot | None:
        names = self._labels.names_for(spec)
        named = self._lookup.find([spec.volume_id.zone], names, entry, deadline)
        found = [each for each in named if each.state not in _GOING]
        if len(found) > 1:
            ids = ", ".join(str(each.id) for each in found)
            raise Mismatch(f"several snapshots are named {spec.name!r}: {ids}; delete all but one")
        return found[0] if found else None

    def _require_same(self, snapshot: Snapshot, spec: SnapshotSpec) -> None:
        what = f"snapshot {snapshot.id} has the name {spec.name!r} already, but"
        if snapshot.volume_id:
            made_from = str(snapshot.volume_id.uuid)
        else:
            made_from = self._labels.source_of(snapshot.labels) or "unknown"
        if made_from != str(spec.volume_id.uuid):
            raise Mismatch(f"{what} it was taken of volume {made_from}, not of {spec.volume_id}")
        if not (self._labels.are_ours(snapshot.labels) or self._labels.are_absent(snapshot.labels)):
            raise Mismatch(f"{what} its labels say that another cluster or driver took it")
        if snapshot.state in BROKEN:
            raise OperationFailed(
                f"snapshot {snapshot.id} is in state {snapshot.state}; delete it, take another",
                reason=FailureReason.FAULT,
            )

    def _repair_labels(self, snapshot: Snapshot, spec: SnapshotSpec, deadline: Deadline) -> None:
        """Write the labels that the API dropped, so that it is seen whose the snapshot is (C6)."""
        wanted = {**self._labels.of_snapshot(spec), **snapshot.labels}
        if wanted == snapshot.labels or snapshot.state is not SnapshotState.CREATED:
            return
        logs.step("repairing the snapshot's labels")
        try:
            self._writer.write_to_snapshot(snapshot, wanted, deadline)
        except DriverError as error:  # labels are for people; the snapshot is good without
            log.warning("labels not repaired", extra={"snapshot": snapshot.id, "error": str(error)})

    def _delete(self, snapshot_id: SnapshotId, entry: Entry, deadline: Deadline) -> None:
        what = f"snapshot {snapshot_id} was not deleted"
        client = self._cloud.zone(snapshot_id.zone)
        logs.step("deleting the snapshot")
        try:
            ended = self._ledger.send(
                entry, partial(client.delete_snapshot, snapshot_id.uuid, deadline), deadline
            )
        except (ApiRejected, ApiDenied) as error:
            left = client.get_snapshot(snapshot_id.uuid, deadline)
            if left.state is SnapshotState.PROMOTING:
                raise WrongState(f"{what}: a volume is being restored from it") from error
            raise refused(what, error) from error
        if ended.state is not OperationState.SUCCESS:
            left = client.get_snapshot(snapshot_id.uuid, deadline)
            if left.state is not SnapshotState.DESTROYED:
                raise failed(what, ended)
        log.info("snapshot deleted")
