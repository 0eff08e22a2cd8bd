"""How long operations take, learnt from those that ended: when to look first (S20).

Looking too early costs a call, too late costs the caller's time, and only the first of the two
shows. What is learnt is a bracket: an age at which operations were still pending, and one at which
they were done. A wide one is searched in small steps, which makes it narrow; then one look does, at
its end. Now and again it opens a little, should the cloud have become faster.

A bracket far above the usual may be an incident, over before the next operation begins. So each is
looked at first when it usually would be done, until many, begun one after the other, have taken as
long: that is the usual then. Of the usual, where it is long, now and again half the time is tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_NARROW = 0.04  # of the age: to search a bracket of this width costs more than it wins
_STEPS = 6.0  # in which a wide one is searched at most
_DOUBT = 0.06  # of the age: how far one opens that nothing has contradicted for long
_MOST_DOUBT = 0.5
_CALM = 16  # ends, all as expected, after which it opens
_OUTLIER = 1.5  # times as long as expected, or as short: tells little about the next one
_PROOFS = 32  # make usual what was slow
_TRIED = 16  # forecasts of a long one, of which one tries half the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When to look at an operation, in seconds since it began.

    Attributes:
        first: When to look first.
        likely: From when on it may well be done.
        step: How long after a look that came too early to look again, from then on.
        done: When it should be done; whatever takes longer is late.
    """

    first: float
    likely: float
    step: float
    done: float


class Expectation:
    """How long one kind of operation takes in one zone; ages are in seconds since it began.

    Args:
        harmless_seconds: What is too long by no more than this need not be doubted.
    """

    def __init__(self, harmless_seconds: float) -> None:
        self._harmless = harmless_seconds
        self._usual = harmless_seconds
        self._pending = 0.0
        self._done = 0.0
        self._calm = 0
        self._doubt = 0.0
        self._forecasts = 0
        self._proofs = 0
        self._told_at = -math.inf

    def forecast(self) -> Forecast | None:
        """Return when to look at the next one, `None` before any has ended."""
        if not self._done:
            return None
        width = self._done - self._pending
        step = max(_NARROW * self._done, width / _STEPS)
        likely = self._done if width <= step else self._pending + step
        return Forecast(first=self._first(likely), likely=likely, step=step, done=self._done)

    def ended(self, *, begun_at: float, pending: float, done: float) -> bool:
        """Learn from one that has ended, and return whether it was far faster than expected.

        Args:
            begun_at: When it began, in monotonic seconds.
            pending: The age at which it was last seen pending, 0.0 if it never was.
            done: The age at which it was seen to have ended.
        """
        is_far_faster = done * _OUTLIER < self._pending
        is_far_slower = self._done > 0.0 and pending >= _OUTLIER * self._done
        is_other_incident = begun_at >= self._told_at
        if is_far_slower and not is_other_incident:
            return False
        if not self._done or is_far_faster:
            self._know(pending, done)
        elif is_far_slower:
            self._is_slower(pending, done)
        elif pending > self._pending or (pending and done <= self._pending):
            self._know(pending, done if pending >= self._done else min(done, self._done))
        elif done < self._done:
            self._is_faster(done)
        else:
            self._calm += 1
            if self._calm % _CALM == 0:
                self._open(_DOUBT)
        self._usual = max(self._harmless, min(self._usual, self._done))
        if is_far_faster or is_far_slower:
            self._proofs = 0
        if is_other_incident:
            self._prove(begun_at + done)
        return is_far_faster

    def _first(self, likely: float) -> float:
        if not self._is_usual:
            return min(self._usual, likely)
        self._forecasts += 1
        if likely > self._harmless and self._forecasts % _TRIED == 0:
            return max(self._harmless, 0.5 * likely)
        return likely

    @property
    def _is_usual(self) -> bool:
        return self._done <= self._usual * _OUTLIER

    def _is_slower(self, pending: float, done: float) -> None:
        if self._is_usual:  # it may be the only one
            pending, done = self._pending, self._done * _OUTLIER
        self._know(pending, done)

    def _is_faster(self, done: float) -> None:
        self._pending, self._done = min(self._pending, done * (1.0 - _NARROW)), done
        if self._doubt:  # faster, as suspected, and perhaps faster yet
            self._open(min(2.0 * self._doubt, _MOST_DOUBT))

    def _prove(self, at: float) -> None:
        self._told_at = at
        self._proofs = 0 if self._is_usual else self._proofs + 1
        if self._proofs >= _PROOFS:
            self._usual = self._done

    def _know(self, pending: float, done: float) -> None:
        self._pending, self._done = pending, done
        self._calm, self._doubt = 0, 0.0

    def _open(self, doubt: float) -> None:
        self._doubt = doubt
        self._pending = min(self._pending, self._done * (1.0 - doubt))
