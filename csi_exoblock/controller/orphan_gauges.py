"""How much is left alone in the cloud, counted in the background for metrics alone (C4)."""

from __future__ import annotations

import logging
from collections import Counter

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.orphans import OrphanKind, OrphanSearch
from csi_exoblock.errors import DriverError
from csi_exoblock.metrics import Metrics, Tally

log = logging.getLogger(__name__)

_COUNTED = (OrphanKind.VOLUME, OrphanKind.SNAPSHOT, OrphanKind.TWIN)
"""Not what goes by itself, and not what costs nothing."""


class OrphanGauges:
    """Counts what is left alone, now and then. What can't be read keeps the figures that it had."""

    def __init__(self, search: OrphanSearch, *, metrics: Metrics, timing: Timing) -> None:
        self._search = search
        self._timing = timing
        self._count = Tally(metrics.orphans)
        self._oldest = Tally(metrics.orphan_oldest)

    def look(self, now: float) -> float:
        """Look once; return the seconds until the next time.

        Args:
            now: The cloud's time, in seconds of Unix time.
        """
        try:
            orphans = self._search.search(Deadline(self._timing.orphans_timeout))
        except DriverError as error:
            log.info("orphans are not counted", extra={"error": str(error)})
            return self._timing.orphans_interval
        if orphans.unread:
            log.info("orphans are not counted", extra={"error": str(dict(orphans.unread))})
            return self._timing.orphans_interval
        counts: Counter[tuple[str, ...]] = Counter({(each,): 0 for each in _COUNTED})
        ages: dict[tuple[str, ...], int] = {(each,): 0 for each in _COUNTED}
        for each in orphans.found:
            if each.kind not in _COUNTED:
                continue
            counts[(each.kind,)] += 1
            if each.created_at:
                age = int(now - each.created_at.timestamp())
                ages[(each.kind,)] = max(ages[(each.kind,)], age)
        self._count.show(counts)
        self._oldest.show(ages)
        return self._timing.orphans_interval
