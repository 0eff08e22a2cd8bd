"""How many requests a second a zone takes: not known until it refuses one, then learnt (S20).

A refusal halves the rate. From there it follows the cubic curve by which TCP finds the width of a
line (RFC 9438): soon close to the rate that was refused, careful around it, then ever faster. A
zone that refills little by little what it grants, as most do, is so used nearly whole, and refuses
one request of each curve.
"""

from __future__ import annotations

import math
from collections import deque

from csi_exoblock.config import Timing

_UNPROVEN = 16.0  # taken for the rate where a refusal comes before much was asked
_LEAST = 2.0  # the curve never starts below half of it: somebody has to notice that it is over


class Rate:
    """One zone's rate, by what it took and what it refused; times are monotonic seconds."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._plateau: float | None = None
        self._refused_at = -math.inf
        self._lately_taken = deque[float]()

    def per_second(self, now: float) -> float:
        """Return the present rate, without a limit before the first refusal."""
        if self._plateau is None:
            return math.inf
        along = (now - self._refused_at) / self._timing.pace_recovery
        return self._plateau * (1.0 + (along - 1.0) ** 3 / 2.0)

    def taken(self, now: float) -> None:
        """Note that the zone took a request."""
        self._lately_taken.append(now)
        self._forget(now)

    def refused(self, sent_at: float, now: float) -> bool:
        """Slow down; tell whether it was for this refusal, not for one of the same crowd."""
        if sent_at <= self._refused_at:
            return False
        self._forget(now)
        taken = len(self._lately_taken) / self._timing.pace_sample
        former = 2.0 * _UNPROVEN if self._plateau is None else self._plateau
        self._plateau = max(min(taken, self.per_second(now)), former / 2.0, _LEAST)
        self._refused_at = now
        return True

    def _forget(self, now: float) -> None:
        """Keep of what was taken only what is so recent that it tells of the present rate."""
        while self._lately_taken and self._lately_taken[0] < now - self._timing.pace_sample:
            self._lately_taken.popleft()
