"""Reading a volume that writes of this driver may still be changing."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.stalls import Stalls
from csi_exoblock.errors import NotFound
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Volume, VolumeId
from csi_exoblock.states import VOLUME_GOING, VolumeState
from csi_exoblock.timing import ControllerTiming

_PAUSE_GROWTH = 1.2  # a state is seen at latest a fifth of its own duration after it changed


def require_present(volume: Volume) -> None:
    """Raise NotFound unless the volume exists and is not being deleted."""
    if volume.state in VOLUME_GOING:
        raise NotFound(
            f"volume {volume.id} is {volume.state}: nothing can be done with it any more"
        )


class VolumeReader:
    """Reads a volume once no pending write of this driver can change it any more."""

    def __init__(self, *, cloud: Cloud, ledger: Ledger, timing: ControllerTiming) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._timing = timing
        self._stalls = Stalls(timing=timing)
        self._settled_at = time.monotonic() + timing.settle

    def read(self, volume_id: VolumeId, entry: Entry, deadline: Deadline) -> Volume:
        """Return the volume once the pending work of earlier calls has ended or can't take effect.

        A write whose answer was lost can still arrive: the volume is read until the effect shows or
        `Timing.settle` has passed (S5). So can a write of a process that died just before this one
        began, so nothing is read before that time is over.

        Args:
            entry: The volume's.

        Raises:
            NotFound: The volume does not exist, so nothing is pending any more.
        """
        logs.step("reading the volume")
        try:
            self._ledger.join(entry, deadline)
            deadline.wait(max(0.0, self._settled_at - time.monotonic()))
            volume = self.get(volume_id, deadline)
            for pause in self._pauses():
                lost = entry.lost
                if not lost or lost.shows_in(volume) or lost.age_seconds() >= self._timing.settle:
                    break
                logs.step("waiting for the effect of a write whose answer was lost")
                deadline.wait(pause)
                volume = self.get(volume_id, deadline)
        except NotFound:
            entry.lost = None
            raise
        entry.lost = None
        return volume

    def get(self, volume_id: VolumeId, deadline: Deadline) -> Volume:
        """Return the volume as it is now, although writes can be pending.

        Raises:
            NotFound: The volume does not exist.
        """
        return self._cloud.zone(volume_id.zone).get_volume(volume_id.uuid, deadline)

    def wait_while(
        self,
        volume: Volume,
        states: Collection[VolumeState],
        deadline: Deadline,
        *,
        until_stalled: bool = False,
    ) -> Volume:
        """Wait while the volume is in one of the states, and return it as it then is.

        Args:
            until_stalled: Return a volume that has been in such a state for too long, rather than
                wait for the end of the call's time.

        Raises:
            NotFound: The volume vanished meanwhile.
            ApiUnavailable: It has been in such a state for too long, and the call has no more time.
            DeadlineExceeded: The call's time ended first; the next call counts on from there.
        """
        for pause in self._pauses():
            if volume.state not in states:
                self._stalls.forget(volume.id)
                break
            if until_stalled and self._stalls.has_stalled(volume):
                break
            logs.step(f"waiting for the volume to end {volume.state}")
            self._stalls.wait(volume, pause, deadline)
            volume = self.get(volume.id, deadline)
        return volume

    def _pauses(self) -> Iterator[float]:
        return pauses(self._timing.poll_initial, self._timing.poll_max, growth=_PAUSE_GROWTH)
