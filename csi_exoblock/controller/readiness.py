"""Whether the cloud has accepted the API key, and the first lists of all zones (N14, C1)."""

from __future__ import annotations

import logging
import threading

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.controller.zone_lists import ZoneLists, of_each
from csi_exoblock.errors import DriverError
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Snapshot, Volume, ZoneName
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class Readiness:
    """Asks the cloud from the start until it accepts the key once; a later outage changes nothing.

    The zones are told to everybody, so that only the list of a zone's volumes proves the key. These
    first lists also let the names of the first creates settle sooner (`ZoneLists.list_zone`).
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        volumes: ZoneLists[Volume],
        snapshots: ZoneLists[Snapshot],
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._volumes = volumes
        self._snapshots = snapshots
        self._timing = timing
        self._ready = threading.Event()
        self._failure = "it was not asked yet"
        self._pauses = pauses(timing.readiness_initial, timing.readiness_max, growth=2.0)

    def trouble(self) -> str:
        """Return why the cloud has not accepted the key yet; empty once it has."""
        if self._ready.is_set():
            return ""
        return f"the cloud has not accepted the API key yet: {self._failure}"

    def ask(self) -> float | None:
        """Ask once; return the seconds until the next time, `None` once the key was accepted."""
        try:
            zones = self._cloud.zones(Deadline(self._timing.api_timeout))
            of_each(zones, self._list)
        except DriverError as error:
            self._failure = str(error)
        if self._ready.is_set():
            return None
        log.warning("the cloud does not answer yet", extra={"error": self._failure})
        return next(self._pauses)

    def _list(self, zone: ZoneName) -> None:
        deadline = Deadline(self._timing.api_timeout)
        try:
            self._volumes.list_zone(zone, deadline)
            if not self._ready.is_set():
                self._ready.set()
                log.info("the cloud answers", extra={"zone": zone})
            self._snapshots.list_zone(zone, deadline)
        except DriverError as error:
            self._failure = str(error)
            log.warning("zone not read", extra={"zone": zone, "error": str(error)})
