"""The taint that keeps pods from a node on which kubelet doesn't know the driver yet (S11)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from csi_exoblock.concurrency import pauses
from csi_exoblock.errors import DriverError, KubernetesDenied
from csi_exoblock.logs import Complaint
from csi_exoblock.timing import NodeTiming

log = logging.getLogger(__name__)


class StartupTaint:
    """Removes the taint once kubelet has registered the driver with its limit of volumes.

    The taint comes back when the Node object is made again, so the check is repeated.

    Args:
        is_registered: Returns whether CSINode lists the driver with its limit.
        remove: Removes the taint, and returns whether it was there.
    """

    def __init__(
        self, *, is_registered: Callable[[], bool], remove: Callable[[], bool], timing: NodeTiming
    ) -> None:
        self._is_registered = is_registered
        self._remove = remove
        self._timing = timing
        self._complaint = Complaint(log, "start-up taint not checked, trying again")
        self._pauses = self._first_pauses()

    def check(self) -> float:
        """Remove the taint if it is time; return the seconds until the next check."""
        try:
            if not self._is_registered():
                return next(self._pauses)
            if self._remove():
                log.info("start-up taint removed")
        except DriverError as error:
            denied = isinstance(error, KubernetesDenied)
            self._complaint.say(str(error), is_logged_elsewhere=denied)
            return next(self._pauses)
        self._complaint.end()
        self._pauses = self._first_pauses()
        # Spread, so that nodes that start together don't ask together.
        return next(pauses(self._timing.taint_return, self._timing.taint_return, growth=1.0))

    def _first_pauses(self) -> Iterator[float]:
        return pauses(self._timing.taint_initial, self._timing.taint_max, growth=1.5)
