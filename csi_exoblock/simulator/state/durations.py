"""Read durations, and draw how long each operation and request takes in this cloud."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from typing import Final

from csi_exoblock.simulator.state.resources import Kind
from csi_exoblock.simulator.state.variation import DEFAULT_SPREAD, Variation

RESIZE: Final = "resize"
"""The only write without an operation; its latency delays its answer."""

REQUEST: Final = "request"
"""Every request: what it takes before it has an effect. `all` does not set it."""

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
    REQUEST: 0.0,
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
        seed: What is drawn depends on it, on the kind, and on how often it was drawn before.
    """

    def __init__(self, scale: float = 1.0, seed: int | None = None) -> None:
        self._scale = scale
        self._seconds = dict(_DEFAULT_SECONDS)
        self._chances = {
            kind: random.Random(None if seed is None else f"{seed}/{kind}")  # noqa: S311
            for kind in self._seconds
        }
        self.variation = Variation()

    def of(self, kind: str) -> float:
        """Return how many seconds an operation of that kind takes, scaled."""
        return self._seconds[kind] * self._scale

    def draw(self, kind: str, seconds: float) -> float:
        """Draw how many seconds an operation of that kind takes now, scaled.

        Args:
            seconds: How long ago the cloud was started.
        """
        factor = self.variation.factor(kind, self._chances[kind], seconds / self._scale)
        return self.of(kind) * factor

    def scaled(self, seconds: float) -> float:
        """Return another duration of this cloud, scaled."""
        return seconds * self._scale

    def set(self, kind: str, seconds: float) -> None:
        """Set one kind's latency, before scaling; `all` sets every operation's.

        Raises:
            ValueError: There is no such kind, or the latency is negative or without end.
        """
        if kind != "all" and kind not in self._seconds:
            raise ValueError(f"unknown operation {kind!r}; known are {', '.join(self._seconds)}")
        if not 0 <= seconds < math.inf:
            raise ValueError(f"the latency of {kind} can't be {seconds} s")
        for each in self._seconds.keys() - {REQUEST} if kind == "all" else (kind,):
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

    def vary(self, values: Mapping[str, object]) -> None:
        """Set how times vary: `{"spread": 0.3, "attach": 0.5, "stragglers": 0.01, …}`.

        What is not named does not vary.

        Raises:
            ValueError: A name is unknown, or a number is out of range.
        """
        known = {"spread", "stragglers", "slow-every", "slow-for", "slow-times"}
        if unknown := values.keys() - known - self._seconds.keys():
            names = ", ".join(sorted(known | self._seconds.keys()))
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; known are {names}")
        numbers = {name: _number(name, value) for name, value in values.items()}
        self.variation = Variation(
            spreads={name: numbers.pop(name) for name in values if name in self._seconds},
            **{name.replace("-", "_"): number for name, number in numbers.items()},
        )

    def vary_from(self, text: str) -> None:
        """Read `spread=0.3,attach=0.5,stragglers=0.01,slow-every=10m,slow-for=1m`, or `on`.

        Raises:
            ValueError: The text names something unknown, or no number.
        """
        if text == "on":
            self.vary({"spread": DEFAULT_SPREAD})
            return
        values: dict[str, object] = {}
        for part in text.split(","):
            name, _, value = part.strip().partition("=")
            is_duration = name in ("slow-every", "slow-for")
            values[name] = parse_seconds(value) if is_duration else value
        self.vary(values)

    def as_json(self) -> dict[str, float]:
        """Return every kind's latency in seconds, before scaling."""
        return dict(self._seconds)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{name} must be a number")
    return float(value)
