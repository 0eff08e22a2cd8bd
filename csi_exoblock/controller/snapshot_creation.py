"""Creating a snapshot: its one POST, the wait until it is ready, and why one was refused (S18)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.controller.creations import Creations, snapshot_kind
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.quotas import SNAPSHOTS, exceeded, read_quotas
from csi_exoblock.controller.refusals import failed, lasting, refused
from csi_exoblock.controller.specs import SnapshotSpec
from csi_exoblock.controller.stalls import Stalls
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    NotFound,
    OperationPending,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Operation, Snapshot, Volume
from csi_exoblock.states import VOLUME_BUSY, VOLUME_GOING, SnapshotState, VolumeState
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)

MOST_PER_VOLUME = 20
"""Snapshots that a volume may have. Source: the vendor's documentation of block storage."""

_PAUSE_GROWTH = 1.2  # a snapshot is seen at latest a fifth of its own duration after it is ready


class SnapshotCreation:
    """Sends creations of snapshots, and follows each until there is a snapshot to name or none."""

    def __init__(
        self, *, cloud: Cloud, ledger: Ledger, labels: Labels, timing: ControllerTiming
    ) -> None:
        self._cloud = cloud
        self._labels = labels
        self._timing = timing
        self._stalls = Stalls(timing=timing)
        self._creations = Creations(
            snapshot_kind(cloud), cloud=cloud, ledger=ledger, labels=labels, timing=timing
        )

    def create(self, spec: SnapshotSpec, entry: Entry, deadline: Deadline) -> Snapshot:
        """Send the creation and return the snapshot once its operation has ended.

        Args:
            entry: The name's.

        Raises:
            NotFound: The volume does not exist, or is being deleted.
            WrongState: The volume has as many snapshots as it may have, or a quota is exhausted, or
                the volume is in state error.
            OperationPending: The cloud is doing something else with the volume.
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
            refusal = refused(_what(spec), error)
            raise self._why_not(refusal, spec, deadline) from error
        log.info("snapshot begun", extra={"snapshot": entry.operation.reference})
        snapshot = self.resume(spec, entry, deadline)
        if snapshot is None:
            entry.mark_lost(has_ended=True)
            raise ApiUnavailable(f"{_what(spec)} yet; a retry looks for it")
        return snapshot

    def resume(self, spec: SnapshotSpec, entry: Entry, deadline: Deadline) -> Snapshot | None:
        """Return the snapshot that an earlier call began to create, `None` if there is none.

        Raises:
            DriverError: Its creation failed and nothing is left of it; the reason says why.
            ApiUnavailable: How the creation ends is not known yet.
        """

        def explain(ended: Operation) -> DriverError:
            what = _what(spec)
            if ended.reference:
                what += f": snapshot {ended.zone}/{ended.reference} failed"
            return self._why_not(failed(what, ended), spec, deadline)

        return self._creations.resume(spec, _what(spec), explain, entry, deadline)

    def wait_until_ready(self, snapshot: Snapshot, deadline: Deadline) -> Snapshot:
        """Wait until the snapshot is ready, or is broken and never will be; return it (S18).

        Raises:
            ApiUnavailable: It is gone, and a retry takes another; or it has not been ready for too
                long, and the call has no more time.
            DeadlineExceeded: It is not ready yet; a retry goes on waiting.
        """
        client = self._cloud.zone(snapshot.id.zone)
        for pause in self._pauses():
            if snapshot.is_ready or snapshot.is_broken:
                break
            logs.step("waiting for the snapshot to be ready")
            self._stalls.wait(snapshot, pause, deadline)
            try:
                snapshot = client.get_snapshot(snapshot.id.uuid, deadline)
            except NotFound as error:
                raise ApiUnavailable(
                    f"snapshot {snapshot.id} was gone before it was ready; a retry takes another"
                ) from error
        return snapshot

    def wait_while_destroying(self, snapshot: Snapshot, deadline: Deadline) -> Snapshot:
        """Wait while the snapshot is being destroyed, and return it as it then is.

        Raises:
            NotFound: It is gone.
            ApiUnavailable: That has taken too long, although it was deleted once more.
            DeadlineExceeded: The call's time ended first; the next call counts on from there.
        """
        client = self._cloud.zone(snapshot.id.zone)
        for pause in self._pauses():
            if snapshot.state is not SnapshotState.DESTROYING:
                self._stalls.forget(snapshot.id)
                break
            if self._stalls.has_stalled(snapshot):
                raise self._stalls.stays(snapshot)
            logs.step("waiting for the snapshot to be destroyed")
            deadline.wait(pause)
            snapshot = client.get_snapshot(snapshot.id.uuid, deadline)
        return snapshot

    def _pauses(self) -> Iterator[float]:
        return pauses(self._timing.poll_initial, self._timing.poll_max, growth=_PAUSE_GROWTH)

    def _why_not(self, refusal: DriverError, spec: SnapshotSpec, deadline: Deadline) -> DriverError:
        """Return why no snapshot was created: what the volume's state and the limits explain."""
        logs.step("asking why no snapshot was taken")
        client = self._cloud.zone(spec.volume_id.zone)
        volume = client.get_volume(spec.volume_id.uuid, deadline)
        if reason := _why_not_in_state(volume, _what(spec)):
            return reason
        snapshots = list(client.list_snapshots(deadline))
        count = sum(each.volume_id == volume.id for each in snapshots)
        if count >= MOST_PER_VOLUME:
            return WrongState(
                f"{_what(spec)}: it has {count} and may have {MOST_PER_VOLUME}; delete one"
            )
        if limit := exceeded(read_quotas(client, deadline), {SNAPSHOTS: 1}):
            return WrongState(f"{_what(spec)}: {limit}; delete snapshots or have the quota raised")
        final, names = lasting(refusal), self._labels.names_for(spec)
        if final is not refusal and any(names & self._labels.names_of(each) for each in snapshots):
            return OperationPending(f"{refusal}; a snapshot of that name has appeared; retry")
        if volume.attached_to and isinstance(refusal, ApiRejected):
            return WrongState(
                f"{refusal}; perhaps because instance {volume.attached_to.uuid} has it: then try "
                "again when no pod uses it"
            )
        return final


def _what(spec: SnapshotSpec) -> str:
    return f"no snapshot {spec.name!r} of volume {spec.volume_id}"


def _why_not_in_state(volume: Volume, what: str) -> DriverError | None:
    """Return why the volume's state allows no snapshot, `None` if it does."""
    if volume.state in VOLUME_GOING:
        return NotFound(f"{what}: the volume is {volume.state}")
    if volume.state in VOLUME_BUSY:
        return OperationPending(f"{what} yet: the volume is {volume.state}; retry")
    if volume.state is VolumeState.ERROR:
        return WrongState(f"{what}: the volume is in state error; ask Exoscale's support")
    return None
