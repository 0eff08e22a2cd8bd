"""The threads that calls take: how many, and whether calls that hang keep all of them (N14)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from csi_exoblock.errors import DriverError


class Room:
    """Bounds the calls that are served at once, and knows whose callers have gone.

    A call ends soon after its caller has gone, as its deadline is cancelled then. One that does not
    hangs in something that has no deadline. While there is a place for others, that is no reason
    to restart the process; once such calls have every place, nothing else would help.

    Args:
        most: How many calls may be served at once.
        overdue_seconds: How long after its caller's end a call counts as hung.
    """

    def __init__(self, most: int, *, overdue_seconds: float) -> None:
        self._most = most
        self._overdue_seconds = overdue_seconds
        self._lock = threading.Lock()
        self._places: set[_Place] = set()

    @contextmanager
    def place(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Serve a call in the block.

        Raises:
            DriverError: No place is free; the caller should retry.
        """
        place = _Place()
        with self._lock:
            if len(self._places) >= self._most:
                raise DriverError(f"{self._most} calls are being served, and no more fit; retry")
            self._places.add(place)
        try:
            if not context.add_callback(place.leave):
                place.leave()
            yield
        finally:
            with self._lock:
                self._places.discard(place)

    def is_stuck(self) -> bool:
        """Return whether calls that hang keep every place."""
        oldest = time.monotonic() - self._overdue_seconds
        with self._lock:
            places = list(self._places)
        return len(places) >= self._most and all(
            each.left_at is not None and each.left_at <= oldest for each in places
        )


class _Place:
    """A call's place.

    Attributes:
        left_at: When the caller went, in monotonic seconds; `None` while it waits.
    """

    def __init__(self) -> None:
        self.left_at: float | None = None

    def leave(self) -> None:
        self.left_at = time.monotonic()
