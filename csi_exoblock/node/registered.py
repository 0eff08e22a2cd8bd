"""Whether kubelet knows the driver: shown as a metric (F7), and then pods may come (S11)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from csi_exoblock.concurrency import pauses
from csi_exoblock.errors import DriverError, KubernetesDenied
from csi_exoblock.logs import Complaint
from csi_exoblock.timing import NodeTiming

log = logging.getLogger(__name__)


class Registered:
    """Asks whether kubelet has registered the driver, and removes the start-up taint once it has.

    Kubelet's own calls do not tell: it can ask who the plugin is and then fail to write CSINode, or
    forget the driver later: when the Node object is made again, the driver is lost with the old
    CSINode, and the taint comes back. So the check is repeated.

    Args:
        is_registered: Returns whether CSINode lists the driver with its limit.
        show: Shows each answer.
        remove_taint: Removes the taint, and returns whether it was there; `None` if that is left to
            others.
        repeat: Has kubelet register the driver again; `None` if that is left to others.
    """

    def __init__(
        self,
        *,
        is_registered: Callable[[], bool],
        show: Callable[[bool], None],
        remove_taint: Callable[[], bool] | None,
        repeat: Callable[[], None] | None,
        timing: NodeTiming,
    ) -> None:
        self._is_registered = is_registered
        self._show = show
        self._remove_taint = remove_taint
        self._repeat = repeat
        self._lost_at: float | None = None  # in monotonic seconds
        self._timing = timing
        self._complaint = Complaint(log, "registration with kubelet not checked, trying again")
        self._pauses = self._first_pauses()

    def check(self) -> float:
        """Ask, and remove the taint if it is time; return the seconds until the next check."""
        try:
            is_registered = self._is_registered()
            self._show(is_registered)
            if not is_registered:
                self._note_absence()
                return next(self._pauses)
            self._lost_at = None
            if self._remove_taint is not None and self._remove_taint():
                log.info("start-up taint removed")
        except DriverError as error:
            denied = isinstance(error, KubernetesDenied)
            self._complaint.say(str(error), is_logged_elsewhere=denied)
            return next(self._pauses)
        self._complaint.end()
        self._pauses = self._first_pauses()
        # Spread, so that nodes that start together don't ask together.
        again = self._timing.registered_again
        return next(pauses(again, again, growth=1.0))

    def _note_absence(self) -> None:
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        elif now - self._lost_at >= self._timing.registered_lost and self._repeat is not None:
            log.warning("kubelet doesn't know the driver, registering again")
            self._lost_at = now
            self._repeat()

    def _first_pauses(self) -> Iterator[float]:
        return pauses(self._timing.registered_initial, self._timing.registered_max, growth=1.5)
