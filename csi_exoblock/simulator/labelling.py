"""Say which labels the API accepts, which nobody has documented (requirements, section 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from csi_exoblock.simulator import refusals
from csi_exoblock.simulator.modes import Modes, Question

_STRICT: Final = re.compile(r"[A-Za-z0-9./-]{0,63}")


def require_good(labels: Mapping[str, str], modes: Modes) -> None:
    """Refuse labels that this cloud does not accept."""
    if modes.has(Question.LABEL_RULES, "any"):
        return
    for text in (*labels.keys(), *labels.values()):
        if not _STRICT.fullmatch(text):
            raise refusals.invalid(f"label {text!r} is too long or has other characters than -./")


def at_creation(labels: Mapping[str, str], modes: Modes) -> Mapping[str, str]:
    """Return the labels that a new thing gets of those that its creation asked for."""
    require_good(labels, modes)
    return labels if modes.has(Question.CREATE_LABELS, "kept") else {}
