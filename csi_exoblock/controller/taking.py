"""Taking a snapshot: its one POST, the end of its operation, what a failed one leaves (S18)."""

from __future__ import annotations

import logging
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.config import Timing
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Entry, Ledger
from csi_exoblock.controller.quotas import SNAPSHOTS, exceeded, read_quotas
from csi_exoblock.controller.refusals import failed, refused
from csi_exoblock.controller.specs import SnapshotSpec
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    NotFound,
    OperationFailed,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud, ZoneClient
from csi_exoblock.model import (
    FailureReason,
    Operation,
    OperationState,
    Snapshot,
    SnapshotId,
    SnapshotState,
    VolumeState,
    ZoneName,
)

log = logging.getLogger(__name__)

MOST_PER_VOLUME = 20
"""Snapshots that a volume may have. Source: the vendor's documentation of block storage."""

BROKEN = (SnapshotState.ERROR, SnapshotState.PARTIALLY_DESTROYED)
"""States of a snapshot that will never be ready."""

_ON_ITS_WAY = (SnapshotState.ALLOCATED, SnapshotState.CREATING)
_GROWTH = 1.2  # a snapshot is seen at latest a fifth of its own duration after it is ready


class SnapshotTaker:
    """Sends creations, and follows each until there is a snapshot to name or nothing at all."""

    def __init__(self, *, cloud: Cloud, ledger: Ledger, labels: Labels, timing: Timing) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._labels = labels
        self._timing = timing

    def take(self, spec: SnapshotSpec, entry: Entry, deadline: Deadline) -> Snapshot:
        """Take the snapshot and return it, perhaps while it is still `creating`.

        Raises:
            NotFound: The volume does not exist.
            WrongState: The volume has as many snapshots as it may have, or a quota is exhausted.
        """
        client = self._cloud.zone(spec.volume_id.zone)
        logs.step("taking the snapshot")
        try:
            with entry.sending():
                entry.operation = client.create_snapshot(
                    spec.volume_id.uuid,
                    name=spec.visible_name,
                    labels=self._labels.of_snapshot(spec),
                    deadline=deadline,
                )
        except (ApiRejected, ApiDenied) as error:
            raise _why_refused(error, spec, client, deadline) from error
        log.info("snapshot begun", extra={"snapshot": entry.operation.reference})
        snapshot = self.take_up(spec, entry, deadline)
        if snapshot is None:
            entry.lose()
            raise ApiUnavailable(f"{_what(spec)} yet; a retry looks for it")
        return snapshot

    def take_up(self, spec: SnapshotSpec, entry: Entry, deadline: Deadline) -> Snapshot | None:
        """Return the snapshot that an earlier call began, `None` if none did or none is left.

        Waits for the operation, but no longer than `Timing.snapshot_wait`.

        Raises:
            DriverError: Its creation failed and nothing is left of it; the reason says why.
            ApiUnavailable: What became of it is not known yet.
        """
        patience = deadline.within(self._timing.snapshot_wait)
        ended = self._end_of_operation(spec.volume_id.zone, entry, deadline, patience)
        snapshot = self._outcome(entry, deadline, patience)
        if snapshot is None and ended:
            if ended.state is OperationState.FAILURE:
                raise failed(_what(spec), ended)
            entry.lose()
            raise ApiUnavailable(f"{_what(spec)}: operation {ended.id} ended in {ended.state}")
        return snapshot

    def follow(self, named: SnapshotId, entry: Entry, deadline: Deadline) -> Snapshot:
        """Return the snapshot that an answer has named, whatever became of it since (S18).

        Raises:
            OperationFailed: It is gone; what takes its place would have another id.
        """
        patience = deadline.within(self._timing.snapshot_wait)
        self._end_of_operation(named.zone, entry, deadline, patience)
        entry.created = None
        logs.step("reading the snapshot")
        try:
            return self.until_ready(self._get(named, deadline), patience)
        except NotFound as error:
            raise OperationFailed(
                f"snapshot {named} failed after it had been named here, and is gone; delete the "
                "VolumeSnapshot and take another",
                reason=FailureReason.FAULT,
            ) from error

    def until_ready(self, snapshot: Snapshot, patience: Deadline) -> Snapshot:
        """Wait until the snapshot is ready or never will be, as long as patience lasts."""
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=_GROWTH):
            if snapshot.state not in _ON_ITS_WAY or patience.remaining() < pause:
                break
            logs.step("waiting for the snapshot to be ready")
            patience.wait(pause)
            snapshot = self._get(snapshot.id, patience)
        return snapshot

    def _get(self, snapshot_id: SnapshotId, deadline: Deadline) -> Snapshot:
        return self._cloud.zone(snapshot_id.zone).get_snapshot(snapshot_id.uuid, deadline)

    def _end_of_operation(
        self, zone: ZoneName, entry: Entry, deadline: Deadline, patience: Deadline
    ) -> Operation | None:
        if entry.operation is None:
            return None
        if entry.operation.reference:
            entry.created = SnapshotId(zone, entry.operation.reference)
        try:
            return self._ledger.join(entry, patience)
        except DeadlineExceeded:
            deadline.check()  # only our own patience ended: the caller gets what there is
            return None

    def _outcome(self, entry: Entry, deadline: Deadline, patience: Deadline) -> Snapshot | None:
        """Return the snapshot that a creation named, `None` once there is none.

        A broken one is deleted: no answer has named it yet.
        """
        if not isinstance(entry.created, SnapshotId):
            return None
        logs.step("reading the snapshot")
        client = self._cloud.zone(entry.created.zone)
        try:
            snapshot = self.until_ready(self._get(entry.created, deadline), patience)
        except NotFound:
            entry.created = None
            return None
        if snapshot.state is SnapshotState.DESTROYING:
            raise ApiUnavailable(f"snapshot {snapshot.id} failed and is being deleted; retry")
        if snapshot.state in BROKEN:
            delete = partial(client.delete_snapshot, snapshot.id.uuid, deadline)
            self._ledger.discard(snapshot, delete, entry, deadline)
            return None
        entry.created = None
        return snapshot


def _what(spec: SnapshotSpec) -> str:
    return f"no snapshot {spec.name!r} of volume {spec.volume_id}"


def _why_refused(
    error: ApiRejected | ApiDenied, spec: SnapshotSpec, client: ZoneClient, deadline: Deadline
) -> DriverError:
    logs.step("asking why no snapshot was taken")
    of_volume = [
        each for each in client.list_snapshots(deadline) if each.volume_id == spec.volume_id
    ]
    if len(of_volume) >= MOST_PER_VOLUME:
        return WrongState(
            f"{_what(spec)}: it has {len(of_volume)} and may have {MOST_PER_VOLUME}; delete one"
        )
    if limit := exceeded(read_quotas(client, deadline), {SNAPSHOTS: 1}):
        return WrongState(f"{_what(spec)}: {limit}; delete snapshots or have the quota raised")
    volume = client.get_volume(spec.volume_id.uuid, deadline)
    if volume.attached_to and volume.state is VolumeState.ATTACHED:
        return WrongState(
            f"{_what(spec)}: it is attached to instance {volume.attached_to}, and the cloud takes "
            f"no snapshot of it meanwhile; try again when no pod uses it: {error}"
        )
    return refused(_what(spec), error)
