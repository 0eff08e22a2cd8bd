"""Deleting volumes: only what is this cluster's, unused and unprotected (D12, S19)."""

from __future__ import annotations

import logging
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.clones import Clones
from csi_exoblock.controller.fresh_reads import send_on_fresh_read
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.refusals import failed, refused, still_there
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
from csi_exoblock.model import Volume, VolumeId
from csi_exoblock.states import (
    VOLUME_BUSY,
    VOLUME_GOING,
    VOLUME_MOVING,
    OperationState,
    VolumeState,
)
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)

_PERHAPS_FOR_SNAPSHOTS = (ApiRejected, OperationPending)
_IN_USE = (VolumeState.ATTACHED, *VOLUME_MOVING)


class VolumeDeletion:
    """Deletes volumes with the temporary snapshots of clones; calls can be repeated or lost."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        recent: RecentCreations,
        clones: Clones,
        reader: VolumeReader,
        labels: Labels,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._recent = recent
        self._clones = clones
        self._reader = reader
        self._labels = labels
        self._timing = timing

    def delete(self, volume_id: VolumeId, deadline: Deadline) -> None:
        """Delete the volume unless it is in use; return once it is gone.

        Raises:
            WrongState: It is attached, protected or another cluster's, or the API keeps it because
                of its snapshots.
        """
        deadline = deadline.within(self._timing.create_timeout)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            try:
                read = partial(self._reader.read, volume_id, entry, deadline)
                send_on_fresh_read(
                    lambda volume: self._delete_as_read(volume, entry, deadline),
                    self._recent.read_once_shown(volume_id, read, deadline),
                    read,
                )
            except NotFound:
                self._clones.release_remains(volume_id, deadline)
        self._recent.forget(volume_id.zone, volume_id.uuid)

    def _delete_as_read(self, volume: Volume, entry: Entry, deadline: Deadline) -> None:
        volume = self._reader.wait_while(
            volume, (VolumeState.DELETING,), deadline, until_stalled=True
        )
        if volume.state is VolumeState.DELETED:
            return
        self._require_deletable(volume)
        if volume.snapshot_ids:
            self._clones.release_source(volume, deadline)
            volume = self._reader.get(volume.id, deadline)  # that took its time
            self._require_deletable(volume)
        self._delete(volume, entry, deadline)
        self._clones.release_clone(volume, deadline)

    def _require_deletable(self, volume: Volume) -> None:
        """Raise WrongState unless the volume is this cluster's, unused and unprotected (D12)."""
        self._labels.require_own(volume)
        if volume.attached_to or volume.state in _IN_USE:
            instance = volume.attached_to.uuid if volume.attached_to else "an instance"
            raise WrongState(
                f"volume {volume.id} is {volume.state} to instance {instance}; "
                "it is deleted once it is detached"
            )
        if self._labels.is_protected(volume):
            raise WrongState(
                f"volume {volume.id} has a label that protects it; remove the label to delete it"
            )

    def _delete(self, volume: Volume, entry: Entry, deadline: Deadline) -> None:
        what = f"volume {volume.id} was not deleted"
        client = self._cloud.zone(volume.id.zone)
        logs.step("deleting the volume")
        try:
            ended = self._ledger.send(
                entry,
                partial(client.delete_volume, volume.id.uuid, deadline),
                deadline,
                shown_by=lambda seen: seen.state in VOLUME_GOING,
            )
        except (ApiRejected, ApiDenied) as error:
            self._require_deleted(volume, refused(what, error), deadline)
        else:
            if ended.state is not OperationState.SUCCESS:
                self._require_deleted(volume, failed(what, ended), deadline)
        log.info("volume deleted")

    def _require_deleted(self, volume: Volume, refusal: DriverError, deadline: Deadline) -> None:
        """Raise the reason of a failed delete, unless the volume is gone all the same.

        Raises:
            NotFound: It is gone, and the API says so.
            WrongState: It is attached by now, or kept because of its snapshots.
            ApiUnavailable: It stays deleting.
            DriverError: The refusal itself, where nothing else explains it.
        """
        logs.step("asking why the volume was not deleted")
        seen = self._cloud.zone(volume.id.zone).get_volume(volume.id.uuid, deadline)
        seen = self._reader.wait_while(seen, (VolumeState.DELETING,), deadline, until_stalled=True)
        if seen.state is VolumeState.DELETED:
            return
        if seen.state is VolumeState.DELETING:
            raise ApiUnavailable(
                f"volume {seen.id} stays deleting, and to delete it once more did not help; a "
                f"retry tries again; if it stays so, ask Exoscale's support about it; {refusal}"
            ) from refusal
        self._require_deletable(seen)
        if seen.state in VOLUME_BUSY:
            raise OperationPending(
                f"volume {seen.id} is {seen.state}; it is deleted once that has ended"
            ) from refusal
        if seen.snapshot_ids and isinstance(refusal, _PERHAPS_FOR_SNAPSHOTS):
            ids = ", ".join(str(each.uuid) for each in seen.snapshot_ids)  # 20 of them fit (F11)
            raise WrongState(
                f"volume {seen.id} is kept for its snapshots, and deleted once they are: {ids}; "
                f"{refusal}"
            ) from refusal
        raise still_there(refusal)
