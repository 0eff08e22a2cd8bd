"""Tables: aligned plain text for `grep`, drawn for people at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from csi_exoblock.escaping import printable

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    Attributes:
        is_wrong: Whether somebody must act.
    """

    cells: tuple[str, ...]
    is_wrong: bool = False


Draw = Callable[[Sequence[str], Sequence[Row]], str]
"""Returns a table as text, from its head and its rows."""


def plain(head: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table with a line for each row; an empty cell is shown as a dash."""
    cells = [list(head), *([printable(cell) or "-" for cell in row.cells] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(_lines(cells, widths))


def age(since: datetime | None, now: float) -> str:
    """Return the time since a moment in one unit, such as `3d`; empty if the moment is not known.

    Args:
        now: In seconds of Unix time.
    """
    return "" if since is None else span(now - since.timestamp())


def span(seconds: float) -> str:
    """Return a length of time in its largest unit: `3d`, `5h`, `12m`, `40s`."""
    whole = max(0, int(seconds))
    for unit, length in _UNITS:
        if whole >= 2 * length or length == 1:
            return f"{whole // length}{unit}"
    return "0s"


def _lines(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
