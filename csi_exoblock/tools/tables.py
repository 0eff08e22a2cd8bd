"""Aligned tables of plain text, for people and for `grep`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from csi_exoblock.escaping import printable

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a line for each row; an empty cell is shown as a dash."""
    cells = [list(head), *([printable(cell) or "-" for cell in row] for row in rows)]
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
