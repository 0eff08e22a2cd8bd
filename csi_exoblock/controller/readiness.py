"""Whether the cloud has accepted the API key, and the first lists of all zones (N14, C1)."""

from __future__ import annotations

import logging
import threading

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.controller.zone_lists import ZoneLists
from csi_exoblock.errors import DriverError
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Snapshot, Volume
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class Readiness:
    """Asks the cloud from the start until it answers once; a later outage changes nothing.

    The first lists let the names of the first creates settle sooner (`ZoneLists.list_zone`).
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
        self._pauses = pauses(timing.readiness_initial, timing.readiness_max, growth=2.0)

    def is_ready(self) -> bool:
        """Return whether the cloud has answered."""
        return self._ready.is_set()

    def ask(self) -> float | None:
        """Ask once; return the seconds until the next time, `None` once the cloud has answered."""
        try:
            self._read()
        except DriverError as error:
            log.warning("the cloud does not answer yet", extra={"error": str(error)})
            return next(self._pauses)
        return None

    def _read(self) -> None:
        zones = self._cloud.zones(Deadline(self._timing.api_timeout))
        self._ready.set()
        log.info("the cloud answers", extra={"zones": ",".join(zones)})
        for zone in zones:
            deadline = Deadline(self._timing.api_timeout)
            try:
                self._volumes.list_zone(zone, deadline)
                self._snapshots.list_zone(zone, deadline)
            except DriverError as error:
                log.warning("zone not read", extra={"zone": zone, "error": str(error)})
