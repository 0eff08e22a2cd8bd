"""Figures, what they must be, and tables of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How often repeated measurements of one thing are distributed.

    Attributes:
        p99: By nearest rank, so of fewer than a hundred it is the largest.
    """

    count: int
    least: float
    median: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarise at least one value."""
        ordered = sorted(values)
        return cls(
            count=len(ordered),
            least=ordered[0],
            median=statistics.median(ordered),
            p99=ordered[math.ceil(0.99 * len(ordered)) - 1],
            most=ordered[-1],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure that was promised, and what it is."""

    what: str
    must: str
    found: str
    met: bool

    @classmethod
    def at_most(cls, what: str, limit: float, found: float, unit: str = "") -> Goal:
        """Promise that a figure is at most a limit."""
        return cls(
            what=what,
            must=f"at most {limit:g}{unit}",
            found=f"{found:.{digits(found)}f}{unit}",
            met=found <= limit,
        )


def digits(value: float) -> int:
    """Return how many decimals a figure is worth."""
    return 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2


def milliseconds(seconds: float) -> str:
    """Write a duration."""
    value = seconds * 1000
    return f"{value:.{0 if value >= 100 else 1}f} ms"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Write a Markdown table; all columns but the first are aligned to the right."""
    return [
        f"| {' | '.join(head)} |",
        f"| --- |{' ---: |' * (len(head) - 1)}",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
        "",
    ]
