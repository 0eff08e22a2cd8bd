"""How many volumes this node may have attached, less what others have attached to it (S9)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.config import NodeSettings, Timing
from csi_exoblock.errors import DriverError, KubernetesDenied, NotFound
from csi_exoblock.host.devices import serial_of
from csi_exoblock.logs import Complaint
from csi_exoblock.model import VolumeId
from csi_exoblock.node.occupancy import Occupancy

log = logging.getLogger(__name__)

Handles = Callable[[], frozenset[str]]
"""Returns the ids of the driver's volumes that Kubernetes has, or wants to have, on this node."""


class AttachLimit:
    """The limit, and the foreign volumes that make it smaller.

    A disk is the driver's own if it is in use below kubelet's folder, or if Kubernetes lists it. It
    then stays so until it leaves: the list forgets a volume before it is detached. One that is not
    listed counts as foreign after a moment: the list learns of a volume when it is attached. So
    Kubernetes is asked only while there is a disk that may be somebody else's.

    Args:
        handles: Asks Kubernetes; `None` where there is none, and nothing counts as foreign.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        occupancy: Occupancy,
        handles: Handles | None,
        timing: Timing,
    ) -> None:
        self._most = settings.attach_limit - settings.reserved_attachments
        self._occupancy = occupancy
        self._handles = handles
        self._timing = timing
        self._look = SharedCall(self._look_now, name="attach-limit")
        self._own: frozenset[str] = frozenset()
        self._unlisted_since: dict[str, float] | None = None
        self._foreign = 0
        self._complaint = Complaint(log, "foreign volumes not counted")

    def get(self, deadline: Deadline) -> int:
        """Look, if that takes no time worth mentioning, and return the limit, at least 1."""
        if self._handles is not None:
            try:
                self._look.get(deadline.within(self._timing.attachments_wait))
            except DriverError as error:
                log.warning("the limit is that of the last look", extra={"error": str(error)})
        return self.limit()

    def limit(self) -> int:
        """Return the limit as of the last look, at least 1."""
        return max(1, self._most - self._foreign)

    def foreign(self) -> int:
        """Return how many volumes are others', as of the last look.

        Without Kubernetes: how many nothing uses.
        """
        return self._foreign if self._handles is not None else self._occupancy.unused()

    def look(self) -> float:
        """Look once; return the seconds until the next time."""
        self._look.get(Deadline(math.inf))
        young = len(self._unlisted_since or ()) > self._foreign
        return self._timing.attachments_settle if young else self._timing.attachments_look

    def _look_now(self) -> None:
        attached, in_use = self._occupancy.serials()
        self._own = (self._own & attached) | in_use
        if not attached <= self._own:
            try:
                self._own |= attached & self._listed()
            except DriverError as error:
                denied = isinstance(error, KubernetesDenied)
                self._complaint.say(str(error), is_logged_elsewhere=denied)
                self._foreign = min(self._foreign, len(attached - self._own))
                return
        self._complaint.end()
        # What was there when the process began is no volume that has just come.
        now, before = time.monotonic(), self._unlisted_since
        self._unlisted_since = {
            each: before.get(each, now) if before is not None else -math.inf
            for each in attached - self._own
        }
        ages = [now - since for since in self._unlisted_since.values()]
        foreign = sum(age >= self._timing.attachments_settle for age in ages)
        if foreign != self._foreign:
            log.info("foreign volumes counted", extra={"foreign": foreign})
        self._foreign = foreign

    def _listed(self) -> frozenset[str]:
        """Return the serials of the driver's volumes that Kubernetes lists."""
        serials = set()
        for handle in self._handles() if self._handles is not None else ():
            try:
                serials.add(serial_of(VolumeId.parse(handle).uuid))
            except NotFound:  # no id of a volume: nothing that this driver could attach
                continue
        return frozenset(serials)
