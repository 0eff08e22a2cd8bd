"""The limit of volumes that can be attached to this node, less those of other owners (S9)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.config import NodeSettings
from csi_exoblock.errors import DriverError, KubernetesDenied, NotFound
from csi_exoblock.host.devices import serial_of
from csi_exoblock.logs import Complaint
from csi_exoblock.model import VolumeId
from csi_exoblock.node.occupancy import Occupancy
from csi_exoblock.timing import NodeTiming

log = logging.getLogger(__name__)

Handles = Callable[[], frozenset[str]]
"""Returns the ids of the driver's volumes that Kubernetes has, or wants to have, on this node."""


class AttachLimit:
    """The limit, and the foreign volumes that make it smaller.

    A disk is the driver's own once Kubernetes lists it, and stays so until it leaves: Kubernetes
    drops a volume from its list before the detach. That it is mounted below kubelet's folder shows
    nothing: another driver can do that. Another disk counts as foreign only after
    `Timing.attachments_grace`, as Kubernetes can list a volume a moment after its disk appears. So
    Kubernetes is asked only while a disk might be foreign:

        the disk of volume a appears      # unlisted: asked, not foreign yet
        Kubernetes lists a                # asked: the driver's own, and not asked again
        the disk of volume b appears      # asked again and again: still unlisted,
        ...                               # so foreign: the limit is one less
        b leaves                          # the limit is what it was

    Args:
        handles: Asks Kubernetes; `None` outside of a cluster, where no volume counts as foreign.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        occupancy: Occupancy,
        handles: Handles | None,
        timing: NodeTiming,
    ) -> None:
        self._most = settings.attach_limit - settings.reserved_attachments
        self._occupancy = occupancy
        self._handles = handles
        self._timing = timing
        self._shared_refresh = SharedCall(self._refresh_now, name="attach-limit")
        self._own: frozenset[str] = frozenset()
        self._unlisted_since: dict[str, float] | None = None
        self._foreign = 0
        self._complaint = Complaint(log, "foreign volumes not counted")

    def get(self, deadline: Deadline) -> int:
        """Refresh the limit if that is quick, and return it, at least 1."""
        if self._handles is not None:
            try:
                self._shared_refresh.get(deadline.within(self._timing.attachments_wait))
            except DriverError as error:
                log.warning("the limit can't be refreshed", extra={"error": str(error)})
        return self.limit()

    def limit(self) -> int:
        """Return the limit as of the last refresh, at least 1."""
        return max(1, self._most - self._foreign)

    def foreign(self) -> int:
        """Return the number of foreign volumes as of the last refresh.

        Outside of a cluster: the number of volumes that nothing uses.
        """
        return self._foreign if self._handles is not None else len(self._occupancy.unused())

    def free(self) -> int:
        """Return how many more volumes can be attached here.

        The limit does not tell: it is never below 1, and foreign volumes are subtracted already.
        """
        return max(0, self._most - self._occupancy.attached())

    def refresh(self) -> float:
        """Refresh the limit once; return the seconds until the next time."""
        self._shared_refresh.get(Deadline(math.inf))
        young = len(self._unlisted_since or ()) > self._foreign
        return self._timing.attachments_grace if young else self._timing.attachments_refresh

    def _refresh_now(self) -> None:
        attached = self._occupancy.serials()
        self._own &= attached
        if not attached <= self._own:
            try:
                self._own |= attached & self._listed()
            except DriverError as error:
                denied = isinstance(error, KubernetesDenied)
                self._complaint.say(str(error), is_logged_elsewhere=denied)
                self._foreign = min(self._foreign, len(attached - self._own))
                return
        self._complaint.end()
        # A disk that was there when the process began has not just been attached.
        now, before = time.monotonic(), self._unlisted_since
        self._unlisted_since = {
            each: before.get(each, now) if before is not None else -math.inf
            for each in attached - self._own
        }
        ages = [now - since for since in self._unlisted_since.values()]
        foreign = sum(age >= self._timing.attachments_grace for age in ages)
        if foreign != self._foreign:
            log.info("foreign volumes counted", extra={"foreign": foreign})
        self._foreign = foreign

    def _listed(self) -> frozenset[str]:
        """Return the serials of the driver's volumes that Kubernetes lists."""
        serials = set()
        for handle in self._handles() if self._handles is not None else ():
            try:
                serials.add(serial_of(VolumeId.parse(handle).uuid))
            except NotFound:  # no id of a volume, so this driver can't have attached it
                continue
        return frozenset(serials)
