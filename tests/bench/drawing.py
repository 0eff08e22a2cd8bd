"""Shapes on an axis of time, as SVG: what the pictures of measurements are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

WIDTH: Final = 960
LEFT: Final = 190
RIGHT: Final = 150
INK: Final = "#1f2933"
QUIET: Final = "#616e7c"

_GRID = "#d9e0e7"
# An answer of a few milliseconds must still be seen.
_LEAST_WIDTH = 2.0
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Drawing:
    """A picture whose axis begins with 0.

    Args:
        length: Where the axis ends.
        unit: Of that length.
    """

    def __init__(self, *, length: float, height: int, title: str, unit: str = "s") -> None:
        self._length = length
        self._unit = unit
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" '
            f'role="img" aria-label="{escape(title)}">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        ]
        self.text(16, 26, title, size=16, weight="bold")

    def x(self, time: float) -> float:
        """Return where a time is on the axis."""
        return LEFT + (WIDTH - LEFT - RIGHT) * time / self._length

    def bar(self, start: float, end: float, y: float, height: float, colour: str) -> None:
        """Draw what lasted from one time to another."""
        x = self.x(start)
        width = max(_LEAST_WIDTH, self.x(end) - x)
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{colour}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, dashes: str = "none") -> None:
        """Draw a line of the grid, or a dashed one."""
        colour = INK if dashes != "none" else _GRID
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-dasharray="{dashes}"/>'
        )

    def curve(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """Draw a line through points, each a time and a height."""
        along = " ".join(f"{self.x(time):.1f},{y:.1f}" for time, y in points)
        self._parts.append(f'<polyline points="{along}" fill="none" stroke="{colour}"/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 13,
        anchor: str = "start",
        colour: str = INK,
        weight: str = "normal",
    ) -> None:
        """Write words."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="{weight}">{escape(words)}</text>'
        )

    def legend(self, y: float, entries: dict[str, str]) -> None:
        """Say what the colours mean."""
        x = float(LEFT)
        for words, colour in entries.items():
            self._parts.append(
                f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>'
            )
            self.text(x + 18, y, words, colour=QUIET)
            x += 18 + 7 * len(words) + 24

    def axis(self, top: float, bottom: float) -> None:
        """Draw the grid of the axis, with its times below."""
        for time in _ticks(self._length):
            self.line(self.x(time), top, self.x(time), bottom)
            label = f"{time:g} {self._unit}"
            self.text(self.x(time), bottom + 18, label, anchor="middle", colour=QUIET)

    def __str__(self) -> str:
        """Return the picture as SVG."""
        return "\n".join([*self._parts, "</svg>", ""])


def _ticks(length: float) -> Iterator[float]:
    step = next(each for each in _STEPS if length / each < 9)
    for number in range(int(length / step) + 1):
        yield round(number * step, 2)
