"""Creating, reading and deleting snapshots: one for each name (S18, N17)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.fresh_reads import send_on_fresh_read
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.lookup import Lookup
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.placement import require_accessible
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.refusals import failed, refused, still_there
from csi_exoblock.controller.relabelling import LabelWriter
from csi_exoblock.controller.snapshot_creation import SnapshotCreation
from csi_exoblock.controller.specs import SnapshotSpec
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    Mismatch,
    NotFound,
    OperationFailed,
    OperationPending,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Snapshot, SnapshotId
from csi_exoblock.states import (
    SNAPSHOT_COMING,
    SNAPSHOT_GOING,
    FailureReason,
    OperationState,
    SnapshotState,
)
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class Snapshots:
    """Creates, reads and deletes snapshots."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        lookup: Lookup[Snapshot],
        recent: RecentCreations,
        creation: SnapshotCreation,
        labels: Labels,
        writer: LabelWriter,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._lookup = lookup
        self._recent = recent
        self._creation = creation
        self._labels = labels
        self._writer = writer
        self._timing = timing

    def judging(self, name: str) -> AbstractContextManager[None]:
        """Return the block in which a request to take a snapshot of that name is judged (C1)."""
        return self._ledger.judging(_key(name))

    def create(self, spec: SnapshotSpec, deadline: Deadline) -> Snapshot:
        """Return the snapshot of that name once it is ready; create it unless an earlier call did.

        The sidecar stores the id of the first answer for ever, and takes the readiness from any
        later answer. So no id is answered that can still vanish and be replaced by another.

        Raises:
            NotFound: The volume does not exist.
            Mismatch: The name belongs to a snapshot of another volume, cluster or driver.
            WrongState: The volume has as many snapshots as it may have, or the quota is exhausted.
            WrongZone: The request does not allow the volume's zone.
            OperationFailed: The snapshot came out broken.
            ApiUnavailable: It is temporary, and can't be labelled yet.
            DeadlineExceeded: It is not ready yet; a retry goes on waiting.
        """
        require_accessible(spec.volume_id, spec.zones)
        deadline = deadline.within(self._timing.create_timeout)
        with self._ledger.hold_name(_key(spec.name), blind=self._lookup.is_blind()) as entry:
            snapshot = self._creation.resume(spec, entry, deadline)
            snapshot = snapshot or self._find(spec, entry, deadline)
            snapshot = snapshot or self._creation.create(spec, entry, deadline)
            self._require_same(snapshot, spec)
            names = self._labels.names_for(spec)
            self._recent.remember(names, snapshot.id.zone, snapshot.id.uuid)
            snapshot = self._creation.wait_until_ready(snapshot, deadline)
        if snapshot.is_broken:
            raise OperationFailed(
                f"snapshot {snapshot.id} is in state {snapshot.state}; delete it, take another",
                reason=FailureReason.FAULT,
            )
        self._repair_labels(snapshot, spec, deadline)
        return snapshot

    def get(self, snapshot_id: SnapshotId, deadline: Deadline) -> Snapshot:
        """Return the snapshot.

        Raises:
            NotFound: It does not exist.
        """
        snapshot = self._cloud.zone(snapshot_id.zone).get_snapshot(snapshot_id.uuid, deadline)
        if snapshot.state is SnapshotState.DESTROYED:
            raise NotFound(f"snapshot {snapshot_id} is {snapshot.state}")
        return snapshot

    def delete(self, snapshot_id: SnapshotId, deadline: Deadline) -> None:
        """Delete the snapshot; return once it is gone.

        Raises:
            WrongState: A restore from it is running, or it is another cluster's (D12).
            OperationPending: It is still being created.
        """
        deadline = deadline.within(self._timing.create_timeout)
        with self._ledger.hold(f"snapshot {snapshot_id}") as entry, suppress(NotFound):
            self._ledger.join(entry, deadline)
            # A GET can miss for a moment what a list has shown (C1).
            get = partial(self.get, snapshot_id, deadline)
            send_on_fresh_read(
                lambda snapshot: self._delete(snapshot, entry, deadline),
                self._recent.read_once_shown(snapshot_id, get, deadline),
                get,
            )
        self._recent.forget(snapshot_id.zone, snapshot_id.uuid)

    def _find(self, spec: SnapshotSpec, entry: Entry, deadline: Deadline) -> Snapshot | None:
        """Return the snapshot of that name, `None` if there is none.

        A temporary snapshot counts only for the clone that it was created for, and a user's only
        for users: a user can give a snapshot the name of a temporary one, which would be deleted
        once the clone is made (N6).
        """
        names = self._labels.names_for(spec)
        named = self._lookup.find([spec.volume_id.zone], names, entry, deadline)
        present = [each for each in named if each.state not in SNAPSHOT_GOING]
        found = [each for each in present if self._is_meant(each, spec)]
        if spec.clone_of and not found:
            self._require_free(spec, present, deadline)
        if len(found) > 1:
            ids = ", ".join(str(each.id) for each in found)
            raise Mismatch(f"several snapshots are named {spec.name!r}: {ids}; delete all but one")
        return found[0] if found else None

    def _require_free(
        self, spec: SnapshotSpec, present: Sequence[Snapshot], deadline: Deadline
    ) -> None:
        """Raise Mismatch if snapshots have a clone's name that are not known to be temporary.

        Another process can have taken one, and the API has dropped its labels since. Nothing proves
        that here, and nobody but the user would ever delete it.
        """
        zone = spec.volume_id.zone
        in_the_way = present or [
            each
            for each in self._lookup.find_marked(zone, spec.name, deadline)
            if each.state not in SNAPSHOT_GOING and self._labels.are_absent(each.labels)
        ]
        if in_the_way:
            raise Mismatch(_in_the_way(in_the_way, spec))

    def _is_meant(self, found: Snapshot, spec: SnapshotSpec) -> bool:
        """Return whether a snapshot of that name is temporary where one is asked for, or is not.

        The API can have dropped the labels of one that this process has just taken. Then its id,
        which the API answered, proves whose it is, or the mark of this process in its name. That a
        creation's answer was lost proves nothing: a user's snapshot of the name without a mark can
        have been too new for the list that was read before it.
        """
        if self._labels.clone_of(found.labels) == spec.clone_of:
            return True
        has_mark = found.name == spec.visible_name
        is_own = has_mark or self._recent.has(found.id.zone, found.id.uuid)
        return is_own and self._labels.are_absent(found.labels)

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

    def _repair_labels(self, snapshot: Snapshot, spec: SnapshotSpec, deadline: Deadline) -> None:
        """Write the labels that the API dropped: they say whose the snapshot is (C6).

        Raises:
            ApiUnavailable: They can't be written to a temporary snapshot. Without them nobody would
                find it, and delete it, once this process is gone.
        """
        wanted = {**self._labels.of_snapshot(spec), **snapshot.labels}
        if wanted == snapshot.labels:
            return
        logs.step("repairing the snapshot's labels")
        try:
            self._writer.write_to_snapshot(snapshot, wanted, deadline)
        except DriverError as error:
            if spec.clone_of:
                raise ApiUnavailable(
                    f"temporary snapshot {snapshot.id} can't be labelled, and before that no clone "
                    f"is made from it: {error}; retry"
                ) from error
            # People read labels; the snapshot works without them.
            log.warning("labels not repaired", extra={"snapshot": snapshot.id, "error": str(error)})

    def _delete(self, snapshot: Snapshot, entry: Entry, deadline: Deadline) -> None:
        self._labels.require_own(snapshot)
        snapshot_id = snapshot.id
        what = f"snapshot {snapshot_id} was not deleted"
        if snapshot.state is SnapshotState.PROMOTING:
            raise _is_restored(what)
        client = self._cloud.zone(snapshot_id.zone)
        logs.step("deleting the snapshot")
        try:
            ended = self._ledger.send(
                entry, partial(client.delete_snapshot, snapshot_id.uuid, deadline), deadline
            )
        except (ApiRejected, ApiDenied) as error:
            self._require_deleted(snapshot_id, refused(what, error), deadline)
        else:
            if ended.state is not OperationState.SUCCESS:
                self._require_deleted(snapshot_id, failed(what, ended), deadline)
        log.info("snapshot deleted")

    def _require_deleted(
        self, snapshot_id: SnapshotId, refusal: DriverError, deadline: Deadline
    ) -> None:
        """Raise the reason of a failed delete, unless the snapshot is gone all the same.

        Raises:
            NotFound: It is gone, and the API says so.
            WrongState: A volume is being restored from it.
            OperationPending: It is still being created.
            DriverError: The refusal itself, where nothing else explains it.
        """
        logs.step("asking why the snapshot was not deleted")
        left = self._creation.wait_while_destroying(self.get(snapshot_id, deadline), deadline)
        what = f"snapshot {snapshot_id} was not deleted"
        if left.state is SnapshotState.PROMOTING:
            raise _is_restored(what) from refusal
        if left.state in SNAPSHOT_COMING:
            raise OperationPending(f"{what}: it is {left.state}; retry") from refusal
        if left.state is not SnapshotState.DESTROYED:
            raise still_there(refusal)


def _key(name: str) -> str:
    return f"snapshot name {name}"


def _is_restored(what: str) -> WrongState:
    return WrongState(f"{what}: a volume is being restored from it")


def _in_the_way(present: Sequence[Snapshot], spec: SnapshotSpec) -> str:
    """Name every snapshot that has a clone's name: the user has to look at each of them."""
    ids = ", ".join(str(each.id) for each in present)
    if len(present) == 1:
        what, remedy = f"snapshot {ids} has the name {spec.name!r}, but is no", "it"
    else:
        what, remedy = f"snapshots {ids} have the name {spec.name!r}, but none is a", "them"
    return (
        f"{what} temporary snapshot of {spec.volume_id}; delete {remedy}, or give the "
        "clone another name"
    )
