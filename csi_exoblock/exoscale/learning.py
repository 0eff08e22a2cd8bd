"""How long operations take, learnt from those that ended: when to look first (S20).

Looking too early costs a call, too late costs the caller's time. What is learnt is a bracket: an
age at which operations were still pending, and one at which they were done. A wide one is searched
in small steps, which makes it narrow; then one look does, at its end. Now and again it opens a
little, should the cloud have become faster.
"""

from __future__ import annotations

from dataclasses import dataclass

_NARROW = 0.04  # of the age: to search a bracket of this width costs more than it wins
_STEPS = 6.0  # in which a wide one is searched at most
_DOUBT = 0.06  # of the age: how far one opens that nothing has contradicted for long
_MOST_DOUBT = 0.5
_CALM = 16  # ends, all as expected, after which it opens
_OUTLIER = 1.5  # times as long as expected: tells little about the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When to look at an operation; all in seconds.

    Attributes:
        first: At what age to look first.
        step: How long after a look that came too early to look again.
        done: At what age it should be done; whatever takes longer is late.
    """

    first: float
    step: float
    done: float


class Expectation:
    """How long one kind of operation takes in one zone; ages are in seconds since it began."""

    def __init__(self) -> None:
        self._pending = 0.0
        self._done: float | None = None
        self._calm = 0
        self._doubt = 0.0

    def forecast(self) -> Forecast | None:
        """Return when to look at the next one, `None` before any has ended."""
        if self._done is None:
            return None
        width = self._done - self._pending
        step = max(_NARROW * self._done, width / _STEPS)
        first = self._done if width <= step else self._pending + step
        return Forecast(first=first, step=step, done=self._done)

    def ended(self, *, pending: float, done: float) -> None:
        """Learn from one that has ended.

        Args:
            pending: The age at which it was last seen pending, 0.0 if it never was.
            done: The age at which it was seen to have ended.
        """
        expected = self._done
        if expected is None:
            self._pending, self._done = pending, done
        elif pending >= _OUTLIER * expected:
            self._know(pending=expected * (1.0 - _NARROW), done=expected * _OUTLIER)
        elif pending > 0.0:
            self._know(pending=pending, done=done if pending >= expected else min(done, expected))
        elif done < expected:
            self._done = done
            if self._doubt:  # faster, as suspected, and perhaps faster yet
                self._open(min(2.0 * self._doubt, _MOST_DOUBT))
        else:
            self._calm += 1
            if self._calm % _CALM == 0:
                self._open(_DOUBT)

    def _know(self, *, pending: float, done: float) -> None:
        self._pending, self._done = pending, done
        self._calm, self._doubt = 0, 0.0

    def _open(self, doubt: float) -> None:
        self._doubt = doubt
        self._pending = min(self._pending, (self._done or 0.0) * (1.0 - doubt))
