"""How many orphans there are, counted in the background for metrics (C4)."""

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
"""Not temporary snapshots, which the driver deletes; not missing volumes, which cost nothing."""


class OrphanGauges:
    """Counts orphans; while the cloud or Kubernetes can't be read, the last figures stay."""

    def __init__(self, search: OrphanSearch, *, metrics: Metrics, timing: Timing) -> None:
        self._search = search
        self._timing = timing
        self._count = Tally(metrics.orphans)
        self._oldest = Tally(metrics.orphan_oldest)

    def collect(self, now: float) -> float:
        """Count once; return the seconds until the next time.

        Args:
            now: The cloud's time, in seconds of Unix time.
        """
        try:
            orphans = self._search.search(Deadline(self._timing.orphans_timeout))
        except DriverError as error:
            log.info("orphans not counted", extra={"error": str(error)})
            return self._timing.orphans_interval
        if orphans.unread:
            log.info("orphans not counted", extra={"error": str(dict(orphans.unread))})
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
