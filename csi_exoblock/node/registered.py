"""Whether kubelet knows the driver: shown as a metric (F7), and then pods may come (S11)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from csi_exoblock.concurrency import pauses
from csi_exoblock.errors import DriverError, KubernetesDenied
from csi_exoblock.logs import Complaint
from csi_exoblock.timing import NodeTiming

log = logging.getLogger(__name__)


class Registered:
    """Asks whether kubelet has registered the driver, and removes the start-up taint once it has.

    Kubelet's own calls do not tell: it can ask who the plugin is and then fail to write CSINode, or
    forget the driver later. The taint comes back when the Node object is made again. So the check
    is repeated.

    Args:
        is_registered: Returns whether CSINode lists the driver with its limit.
        show: Shows each answer.
        remove_taint: Removes the taint, and returns whether it was there; `None` if that is left to
            others.
    """

    def __init__(
        self,
        *,
        is_registered: Callable[[], bool],
        show: Callable[[bool], None],
        remove_taint: Callable[[], bool] | None,
        timing: NodeTiming,
    ) -> None:
        self._is_registered = is_registered
        self._show = show
        self._remove_taint = remove_taint
        self._timing = timing
        self._complaint = Complaint(log, "registration with kubelet not checked, trying again")
        self._pauses = self._first_pauses()

    def check(self) -> float:
        """Ask, and remove the taint if it is time; return the seconds until the next check."""
        try:
            is_registered = self._is_registered()
            self._show(is_registered)
            if not is_registered:
                return next(self._pauses)
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

    def _first_pauses(self) -> Iterator[float]:
        return pauses(self._timing.registered_initial, self._timing.registered_max, growth=1.5)
