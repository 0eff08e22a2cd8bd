"""What happened in a schedule, in order, and what must never happen."""

from __future__ import annotations

import itertools
import threading
import time


class Broken(AssertionError):
    """An invariant does not hold; the story says how it came to that."""


class Story:
    """Everything that was asked, answered and done, told by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._lines: list[str] = []
        self._breaches: list[str] = []
        self._ordinals = itertools.count(1)

    def next_call(self) -> int:
        """Return the ordinal of a further CSI call."""
        with self._lock:
            return next(self._ordinals)

    def tell(self, line: str) -> None:
        """Add a line."""
        with self._lock:
            self._lines.append(f"{time.monotonic() - self._began:7.3f}  {line}")

    def breach(self, invariant: str, what: str) -> None:
        """Say that an invariant does not hold."""
        self.tell(f"BREACH {invariant}: {what}")
        with self._lock:
            self._breaches.append(invariant)

    @property
    def breaches(self) -> tuple[str, ...]:
        """The invariants that did not hold, in the order in which that was seen."""
        return tuple(self._breaches)

    def seconds(self) -> float:
        """Return how long ago the story began."""
        return time.monotonic() - self._began

    def __str__(self) -> str:
        return "\n".join(self._lines)
