"""Read durations, and hold how long each kind of operation takes in this cloud."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from csi_exoblock.simulator.resources import Kind

RESIZE: Final = "resize"
"""The only write without an operation; its latency delays its answer."""

# Guesses of the real cloud's magnitude; no figure has been published.
_DEFAULT_SECONDS: Final[Mapping[str, float]] = {
    Kind.CREATE: 1.0,
    Kind.UPDATE: 0.2,
    Kind.DELETE: 1.0,
    Kind.ATTACH: 2.0,
    Kind.DETACH: 2.0,
    Kind.SNAPSHOT: 2.0,
    Kind.UPDATE_SNAPSHOT: 0.2,
    Kind.DELETE_SNAPSHOT: 1.0,
    RESIZE: 0.0,
}
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")


def parse_seconds(text: str) -> float:
    """Read a duration such as `300ms`, `1.5s` or `2m`; a bare number means seconds.

    Raises:
        ValueError: The text is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write for example 300ms, 1.5s or 2m")
    return float(match[1]) * _UNITS[match[2]]


class Latencies:
    """How long each kind of operation takes, in seconds.

    Args:
        scale: Factor for every duration.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._seconds = dict(_DEFAULT_SECONDS)

    def of(self, kind: str) -> float:
        """Return how many seconds an operation of that kind takes, scaled."""
        return self._seconds[kind] * self._scale

    def scaled(self, seconds: float) -> float:
        """Return another duration of this cloud, scaled."""
        return seconds * self._scale

    def set(self, kind: str, seconds: float) -> None:
        """Set one kind's latency, before scaling; `all` sets every kind's.

        Raises:
            ValueError: There is no such kind, or the latency is negative or without end.
        """
        if kind != "all" and kind not in self._seconds:
            raise ValueError(f"unknown operation {kind!r}; known are {', '.join(self._seconds)}")
        if not 0 <= seconds < math.inf:
            raise ValueError(f"the latency of {kind} can't be {seconds} s")
        for each in self._seconds if kind == "all" else (kind,):
            self._seconds[each] = seconds

    def set_from(self, text: str) -> None:
        """Read `create=1s,attach=2s`, or one duration for all.

        Raises:
            ValueError: The text names no known kind, or no duration.
        """
        for part in text.split(","):
            kind, equals, duration = part.strip().partition("=")
            if equals:
                self.set(kind, parse_seconds(duration))
            else:
                self.set("all", parse_seconds(kind))

    def as_json(self) -> dict[str, float]:
        """Return every kind's latency in seconds, before scaling."""
        return dict(self._seconds)
