"""Refuse calls that come too fast, as an API that protects itself does."""

from __future__ import annotations

import time


class Throttle:
    """A bucket of calls for each zone, which fills steadily and holds those of one second."""

    def __init__(self) -> None:
        self.per_second: float | None = None
        """How many calls a second each zone takes; None is no limit."""
        self._buckets: dict[str, tuple[float, float]] = {}

    def seconds_to_wait(self, zone: str) -> float:
        """Let a call in and return 0, or return after how many seconds one would be let in."""
        if self.per_second is None:
            return 0.0
        now = time.monotonic()
        most = max(1.0, self.per_second)
        held, since = self._buckets.get(zone, (most, now))
        held = min(most, held + (now - since) * self.per_second)
        if held < 1.0:
            self._buckets[zone] = (held, now)
            return (1.0 - held) / self.per_second
        self._buckets[zone] = (held - 1.0, now)
        return 0.0
