"""The rules for labels; those of the real API are not documented (requirements, section 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.modes import Modes, Question

_STRICT: Final = re.compile(r"[A-Za-z0-9./-]{0,63}")


def require_good(labels: Mapping[str, str], modes: Modes) -> None:
    """Raise Refusal unless this cloud accepts the labels."""
    if modes.has(Question.LABEL_RULES, "any"):
        return
    for text in (*labels.keys(), *labels.values()):
        if not _STRICT.fullmatch(text):
            raise refusals.invalid(f"label {text!r} is too long or has other characters than -./")


def at_creation(labels: Mapping[str, str], modes: Modes) -> Mapping[str, str]:
    """Return the labels that a new resource keeps of those in its create call."""
    require_good(labels, modes)
    return labels if modes.has(Question.CREATE_LABELS, "kept") else {}
