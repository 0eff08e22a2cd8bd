"""A table of what befell whom: a cell that stays empty was never tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Cells = Counter[tuple[str, str]]
"""How often something befell something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Which cells there are.

    Attributes:
        impossible: Those that can't be filled.
        prefix: What the names of all columns have in common, and the table leaves out.
    """

    kinds: tuple[str, ...]
    columns: tuple[str, ...]
    impossible: frozenset[tuple[str, str]]
    prefix: str = ""

    def empty_cells(self, cells: Cells) -> Iterator[tuple[str, str]]:
        """Yield what could have happened and never did."""
        for kind in self.kinds:
            for column in self.columns:
                if not cells[kind, column] and (kind, column) not in self.impossible:
                    yield kind, column

    def table(self, cells: Cells) -> Iterable[str]:
        """Yield the lines of the report."""
        names = (each.removeprefix(self.prefix)[:12] for each in self.columns)
        yield f"{'':22}" + "".join(f"{name:>13}" for name in names)
        for kind in self.kinds:
            counts = (
                "-" if (kind, column) in self.impossible else str(cells[kind, column])
                for column in self.columns
            )
            yield f"{kind:22}" + "".join(f"{count:>13}" for count in counts)
