"""Chooses how to draw tables: with rich at a terminal, plain elsewhere."""

from __future__ import annotations

from typing import TextIO

from csi_exoblock.tools.tables import Draw, plain


def draw_for(stream: TextIO) -> Draw:
    """Return how to draw tables on a stream: `plain`, unless it is a terminal and rich is there."""
    if not stream.isatty():
        return plain
    try:
        from csi_exoblock.tools.drawing import drawn
    except ModuleNotFoundError:  # rich is an extra, because nothing else needs it
        return plain
    return drawn
