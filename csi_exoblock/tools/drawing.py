"""Tables drawn with rich, for a terminal. Only this module and the demo import it."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from csi_exoblock.escaping import printable
from csi_exoblock.tools.tables import Row


def drawn(head: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table as wide as the terminal; what is too long for its column goes on below.

    Rows that need action are red, unless the terminal has no colours or NO_COLOR is set.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        style = "red" if row.is_wrong else ""
        # As Text, foreign words such as `[bold]` are shown and not obeyed.
        table.add_row(*(Text(printable(cell) or "-") for cell in row.cells), style=style)
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")
