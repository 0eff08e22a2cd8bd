"""How long operations take, learnt from those that ended: when to look first (S20).

Looking too early costs a call, too late costs the caller's time. What is learnt is a bracket: an
age at which operations were still pending, and one at which they were done. The first look goes
into the lower part of the bracket until that is so narrow that looking earlier would win less than
it costs. Now and again it opens a little, should the cloud have become faster.
"""

from __future__ import annotations

_NARROW = 0.04  # of the age: a bracket of this width is left alone
_DOUBT = 0.06  # of the age: how far one opens that nothing has contradicted for long
_MOST_DOUBT = 0.5
_CALM = 16  # ends, all as expected, after which it opens
_OUTLIER = 1.5  # times as long as expected: tells little about the next one


class Expectation:
    """How long one kind of operation takes in one zone; ages are in seconds since it began."""

    def __init__(self) -> None:
        self._pending = 0.0
        self._done: float | None = None
        self._calm = 0
        self._doubt = 0.0

    def first_look(self) -> float | None:
        """Return at what age to look first, `None` before any has ended."""
        if self._done is None:
            return None
        width = self._done - self._pending
        return self._done if width <= _NARROW * self._done else self._pending + width / 4.0

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
