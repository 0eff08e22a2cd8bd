"""Refuse calls that come too fast: the simulated cloud's rate limit."""

from __future__ import annotations

import time


class Throttle:
    """A token bucket for each zone; it refills steadily and holds the calls of one second."""

    def __init__(self) -> None:
        self.per_second: float | None = None
        """How many calls per second each zone accepts; None is no limit."""
        self._buckets: dict[str, tuple[float, float]] = {}

    def seconds_to_wait(self, zone: str) -> float:
        """Accept a call and return 0, or return the seconds after which one would be accepted."""
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
