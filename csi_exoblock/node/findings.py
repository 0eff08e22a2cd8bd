"""What ailed the volumes of this node when they were last asked about (F7)."""

from __future__ import annotations

import threading
import time
from collections import Counter

from csi_exoblock.config import Timing
from csi_exoblock.metrics import Tally
from csi_exoblock.model import Ailment, VolumeId


class Findings:
    """Remembers what kubelet was told, for the gauge of unhealthy volumes; asks no disk."""

    def __init__(self, *, unhealthy: Tally, timing: Timing) -> None:
        self._unhealthy = unhealthy
        self._timing = timing
        self._lock = threading.Lock()
        self._found: dict[VolumeId, tuple[float, tuple[Ailment, ...]]] = {}

    def note(self, volume_id: VolumeId, ailments: tuple[Ailment, ...]) -> None:
        """Remember what ails a volume; nothing while it is well."""
        with self._lock:
            if ailments:
                self._found[volume_id] = (time.monotonic(), ailments)
            else:
                self._found.pop(volume_id, None)

    def show(self) -> None:
        """Bring the gauge up to date, without those that nobody has asked about for long."""
        oldest = time.monotonic() - self._timing.health_finding_age
        with self._lock:
            self._found = {key: each for key, each in self._found.items() if each[0] > oldest}
            found = [ailment for _, ailments in self._found.values() for ailment in ailments]
        self._unhealthy.show(Counter((each.status, each.reason) for each in found))
