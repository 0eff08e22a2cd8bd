"""The label on a volume in use that says which size an expand asked for (N1)."""

from __future__ import annotations

import logging

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels, PendingSize
from csi_exoblock.controller.pending import NOT_FINAL
from csi_exoblock.controller.relabelling import LabelWriter
from csi_exoblock.controller.specs import VolumeChanges
from csi_exoblock.errors import ApiUnavailable, DriverError, OperationFailed
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Volume
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class GrowthNotes:
    """Writes, reads and removes the notes of pending growths.

    A note is on the volume, not in this process: the attacher, whose next call makes it come true,
    can lead in another replica than the resizer (F16). Its time is the cloud's, as hosts' clocks
    differ.

    The volume is held meanwhile, so no update that hangs is waited for to the end of the call.
    """

    def __init__(
        self, *, cloud: Cloud, labels: Labels, writer: LabelWriter, timing: ControllerTiming
    ) -> None:
        self._cloud = cloud
        self._labels = labels
        self._writer = writer
        self._timing = timing

    def size_due(self, volume: Volume) -> int | None:
        """Return the size in GiB that a note still asks for, `None` if none does.

        An old note counts no longer: the resizer repeats every request that still stands.
        """
        note = self._labels.pending_size(volume.labels)
        if note and note.is_younger_than(self._timing.pending_growth_ttl, self._cloud.now()):
            return note.size_gib
        return None

    def is_from_the_future(self, volume: Volume) -> bool:
        """Return whether the volume has a note whose time has not come yet.

        Its writer had a wrong time, so nobody knows whether the request still stands. If it does,
        the resizer's next try gives the note the right time.
        """
        note = self._labels.pending_size(volume.labels)
        return note is not None and note.is_from_the_future(self._cloud.now())

    def write(self, volume: Volume, size_gib: int, deadline: Deadline) -> None:
        """Note a growth on the volume, unless a recent note says the same.

        A failure is logged only: without the note the resizer's own retries finish the growth.
        """
        note, now = self._labels.pending_size(volume.labels), self._cloud.now()
        is_current = (
            note is not None
            and note.size_gib == size_gib
            and note.is_younger_than(self._timing.pending_growth_refresh, now)
        )
        if not is_current:
            logs.step("noting the growth for the next attach")
            note = PendingSize(size_gib=size_gib, since=int(now))
            self._try_to_write(volume, self._labels.with_pending_size(note), deadline)

    def remove(self, volume: Volume, deadline: Deadline) -> None:
        """Remove the note, if the volume has one; a failure is logged only."""
        if self._labels.pending_size(volume.labels) is None:
            return
        logs.step("removing the note of a growth")
        self._try_to_write(volume, self._labels.without_pending_size(), deadline)

    def withdraw(self, volume: Volume, deadline: Deadline) -> None:
        """Remove the note of an older, larger request, which the next attach would make come true.

        One that is still being written counts too. A refusal is logged only, as for every label.

        Raises:
            DriverError: The note can still be there, and a retry removes it.
        """
        is_noted = self._labels.pending_size(volume.labels) is not None
        if not (is_noted or self._writer.has_pending(volume.id)):
            return
        logs.step("removing the note of a growth")
        try:
            change = self._labels.without_pending_size()
            self._writer.write(volume.id, change, deadline.within(self._timing.note_withdrawal))
        except NOT_FINAL:
            raise
        except OperationFailed as error:  # no refusal: it can succeed the next time
            raise ApiUnavailable(f"{error}; a retry removes the note of the growth") from error
        except DriverError as error:
            log.warning("note of a growth not removed", extra={"error": str(error)})

    def _try_to_write(self, volume: Volume, change: VolumeChanges, deadline: Deadline) -> None:
        try:
            self._writer.write(volume.id, change, deadline.within(self._timing.note_update))
        except DriverError as error:
            log.warning("note of a growth not written", extra={"error": str(error)})
