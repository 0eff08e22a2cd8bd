"""How long operations take, learnt from those that have ended; it decides the first poll (S20).

A poll that comes too early costs an API call. A poll that comes too late costs the caller's time,
and nothing shows that. What is learnt is a bracket of two ages: one at which operations were still
pending, and one at which they were done. A wide bracket is searched in small steps, which narrows
it; then one poll at its end is enough. Now and then it is widened a little, in case the cloud has
become faster.

A bracket far above the usual duration can be an incident that is over before the next operation
begins. So operations are still polled first at the usual duration, until many that began one after
the other have taken as long; then the long duration is the usual one. While the usual duration is
long, now and then an operation is polled first at half of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_NARROW = 0.04  # of the age: searching a bracket narrower than this costs more than it gains
_STEPS = 6.0  # the most steps in which a wide bracket is searched
_DOUBT = 0.06  # of the age: how far a bracket is widened first
_MOST_DOUBT = 0.5  # of the age: how far it is widened at most
_CALM = 16  # ends as expected, after which the bracket is widened
_OUTLIER = 1.5  # this many times longer or shorter than expected: says little about the next one
_PROOFS = 32  # slow operations, one after the other, that make slow the usual
_TRIED = 16  # of this number of forecasts of a long duration one tries half of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When to poll an operation, in seconds since it began.

    Attributes:
        first: The age for the first poll.
        likely: The age from which the operation is probably done.
        step: The pause between polls from `likely` to `done`.
        done: The age at which it should be done; an operation that takes longer is late.
    """

    first: float
    likely: float
    step: float
    done: float


class Expectation:
    """How long one kind of operation takes in one zone; ages are in seconds since it began.

        attach = Expectation(harmless_seconds=5.0)
        attach.forecast()                                   # None: poll in short, growing steps
        attach.ended(begun_at=0.0, pending=3.0, done=4.0)   # seen pending at 3 s, done at 4 s
        attach.forecast()  # first poll a little after 3 s, then in small steps up to 4 s
        ...                # later ends narrow the bracket: first poll at 3.6 s, which is enough
        attach.ended(begun_at=90.0, pending=58.0, done=60.0)  # an outlier, perhaps an incident
        attach.forecast()  # the first poll is still early; after 32 slow ones it comes later

    Args:
        harmless_seconds: Durations up to this are never tried at half their length, and always
            count as usual.
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
        """Return when to poll the next operation, `None` before any has ended."""
        if not self._done:
            return None
        width = self._done - self._pending
        step = max(_NARROW * self._done, width / _STEPS)
        likely = self._done if width <= step else self._pending + step
        return Forecast(first=self._first(likely), likely=likely, step=step, done=self._done)

    def ended(self, *, begun_at: float, pending: float, done: float) -> bool:
        """Learn from an operation that has ended; return whether it was far faster than expected.

        Args:
            begun_at: When it began, in monotonic seconds.
            pending: The age at which a poll last saw it pending, 0.0 if none did.
            done: The age at which a poll saw that it had ended.
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
        if self._is_usual:  # the first slow one can be the only one: expect only a little more
            pending, done = self._pending, self._done * _OUTLIER
        self._know(pending, done)

    def _is_faster(self, done: float) -> None:
        self._pending, self._done = min(self._pending, done * (1.0 - _NARROW)), done
        if self._doubt:  # widening has found faster operations; there might be faster ones still
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
