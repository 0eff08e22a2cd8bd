"""The cloud's own time, which all replicas see alike, however their hosts' clocks go (N1)."""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import parsedate_to_datetime


class CloudClock:
    """Tells the time by the `Date` of the API's latest answer, by the host's clock before any."""

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None

    def note(self, date: str) -> None:
        """Take over the time from an answer; one without a readable date changes nothing.

        Source: RFC 9110, section 6.6.1.
        """
        with suppress(ValueError, OverflowError):
            self._seen = (parsedate_to_datetime(date).timestamp(), time.monotonic())

    def now(self) -> float:
        """Return the time in seconds of Unix time."""
        if self._seen is None:
            return time.time()
        told, at = self._seen
        return told + time.monotonic() - at
