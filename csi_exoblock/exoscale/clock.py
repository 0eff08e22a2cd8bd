"""The cloud's time, which is the same for all replicas even if their hosts' clocks differ (N1)."""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import parsedate_to_datetime


class CloudClock:
    """Computes the time from the `Date` of the API's latest answer.

    Before the first answer it is the time of the host's clock.
    """

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None

    def note(self, date: str) -> None:
        """Set the clock by an answer's date; a date that can't be read changes nothing.

        Source: RFC 9110, section 6.6.1.
        """
        with suppress(ValueError, OverflowError):
            self._seen = (parsedate_to_datetime(date).timestamp(), time.monotonic())

    @property
    def is_set(self) -> bool:
        """Whether the API has told the time."""
        return self._seen is not None

    def now(self) -> float:
        """Return the time in seconds of Unix time."""
        if self._seen is None:
            return time.time()
        told, at = self._seen
        return told + time.monotonic() - at
