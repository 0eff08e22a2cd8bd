"""How many requests per second a zone accepts: unknown until it refuses one, then learnt (S20).

A refusal halves the rate. From there it rises along the cubic curve by which TCP finds the
bandwidth of a network (RFC 9438): fast up to near the refused rate, slowly around it, then faster
and faster. Most limits refill steadily, like a token bucket. Such a limit is used almost fully, and
refuses one request per curve.

A zone that accepts nothing at all between two refusals teaches no rate: it is out of order. It is
asked half as often each time, and as soon as it accepts a request, the rate is the learnt one.
"""

from __future__ import annotations

import math
from collections import deque

from csi_exoblock.timing import CloudTiming

_UNPROVEN = 16.0  # requests per second: assumed if the zone refuses one of the first requests
_LEAST = 2.0  # the curve never starts below half of this, so that the end of a limit is noticed
_MOST_IN_VAIN = 10  # refusals; any rate is down to the least then


class Rate:
    """One zone's rate, learnt from accepted and refused requests; times are monotonic seconds."""

    def __init__(self, timing: CloudTiming) -> None:
        self._timing = timing
        self._plateau: float | None = None
        self._refused_at = -math.inf
        self._has_taken = False  # since it refused the last time
        self._in_vain = 0  # refusals since it took the last one, beyond the first
        self._lately_taken = deque[float]()

    def per_second(self, now: float) -> float:
        """Return the present rate in requests per second, infinite before the first refusal."""
        if self._plateau is None:
            return math.inf
        along = (now - self._refused_at) / self._timing.pace_recovery
        rate = self._plateau * (1.0 + (along - 1.0) ** 3 / 2.0)
        return max(rate / 2.0**self._in_vain, _LEAST / 2.0)

    def taken(self, now: float) -> None:
        """Note that the zone accepted a request."""
        self._has_taken, self._in_vain = True, 0
        self._lately_taken.append(now)
        self._forget(now)

    def refused(self, sent_at: float, now: float) -> bool:
        """Slow down after a refusal; return whether the rate changed.

        It does not if the request was sent before the last slow-down: of requests that were under
        way together, only the first refusal counts.
        """
        if sent_at <= self._refused_at:
            return False
        self._forget(now)
        if self._plateau is None or self._has_taken:
            taken = len(self._lately_taken) / self._timing.pace_sample
            former = 2.0 * _UNPROVEN if self._plateau is None else self._plateau
            self._plateau = max(min(taken, self.per_second(now)), former / 2.0, _LEAST)
        else:
            self._in_vain = min(self._in_vain + 1, _MOST_IN_VAIN)
        self._refused_at, self._has_taken = now, False
        return True

    def _forget(self, now: float) -> None:
        """Forget accepted requests that are too old to say something about the present rate."""
        while self._lately_taken and self._lately_taken[0] < now - self._timing.pace_sample:
            self._lately_taken.popleft()
