"""The health of this node's volumes as last reported to kubelet, for a metric (F7)."""

from __future__ import annotations

import threading
import time
from collections import Counter

from csi_exoblock.metrics import Tally
from csi_exoblock.model import Ailment, VolumeId
from csi_exoblock.timing import NodeTiming


class HealthCache:
    """Remembers the ailments that kubelet was told, so that the metric asks no disk."""

    def __init__(self, *, unhealthy: Tally, timing: NodeTiming) -> None:
        self._unhealthy = unhealthy
        self._timing = timing
        self._lock = threading.Lock()
        self._found: dict[VolumeId, tuple[float, tuple[Ailment, ...]]] = {}

    def store(self, volume_id: VolumeId, ailments: tuple[Ailment, ...]) -> None:
        """Remember the ailments of a volume; forget it if there are none."""
        with self._lock:
            if ailments:
                self._found[volume_id] = (time.monotonic(), ailments)
            else:
                self._found.pop(volume_id, None)

    def update_gauge(self) -> None:
        """Update the gauge of unhealthy volumes, leaving out reports that are too old."""
        oldest = time.monotonic() - self._timing.health_report_age
        with self._lock:
            self._found = {key: each for key, each in self._found.items() if each[0] > oldest}
            found = [ailment for _, ailments in self._found.values() for ailment in ailments]
        self._unhealthy.show(Counter((each.status, each.reason) for each in found))
