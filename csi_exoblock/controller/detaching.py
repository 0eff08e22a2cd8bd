"""Which detaches were asked for and are not done yet, and for how long (F7)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from csi_exoblock.config import Timing
from csi_exoblock.model import VolumeId


@dataclass(slots=True, kw_only=True)
class _Asked:
    first: float
    last: float


class PendingDetaches:
    """Remembers a detach from the first call for it until one ends well.

    Whoever asks repeats a call that failed. If nobody does any more, it was given up, or another
    process has finished it.
    """

    def __init__(self, *, timing: Timing) -> None:
        self._timing = timing
        self._lock = threading.Lock()
        self._asked: dict[VolumeId, _Asked] = {}

    @contextmanager
    def pending(self, volume_id: VolumeId) -> Iterator[None]:
        """Count the volume's detach as pending, until such a block ends without an error."""
        now = time.monotonic()
        with self._lock:
            self._asked.setdefault(volume_id, _Asked(first=now, last=now)).last = now
        yield
        with self._lock:
            self._asked.pop(volume_id, None)

    def oldest_seconds(self) -> float:
        """Return how long ago the oldest of them was first asked for, 0.0 if there is none."""
        now = time.monotonic()
        with self._lock:
            self._asked = {
                volume_id: asked
                for volume_id, asked in self._asked.items()
                if now - asked.last < self._timing.detach_given_up
            }
            return max((now - asked.first for asked in self._asked.values()), default=0.0)
