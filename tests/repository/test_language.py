"""No text has a word or a phrase that the conventions ban (CONTRIBUTING, Language)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

_ROOT = Path(__file__).parents[2]
_TEXTS = (
    *sorted((_ROOT / "csi_exoblock").rglob("*.py")),
    *sorted((_ROOT / "tests").rglob("*.py")),
    *sorted(_ROOT.glob("*.md")),
    *sorted((_ROOT / "docs").rglob("*.md")),
)

# They name the words in order to ban them.
_NAMES_THE_WORDS = ("CONTRIBUTING.md", "tests/repository/test_language.py")

_GENERATED = "csi_exoblock/pb/"

_SPACE = r"[\s#]+"
_BANNED = re.compile(
    r"\b(?:"
    + "|".join(
        phrase.replace(" ", _SPACE)
        for phrase in (
            "who(?:m|se|so)?ever",
            "anew",
            "of ours",
            "so many",
            "in a turn of its own",
        )
    )
    + r")\b",
    re.IGNORECASE,
)


def banned_in(text: str) -> list[str]:
    """Return the banned words and phrases of a text, also those in names."""
    return [" ".join(each.split()) for each in _BANNED.findall(text.replace("_", " "))]


def must_be_plain(path: Path) -> bool:
    """Return whether the conventions hold for a file."""
    name = str(path.relative_to(_ROOT))
    return name not in _NAMES_THE_WORDS and not name.startswith(_GENERATED)


def test_no_text_has_a_banned_word() -> None:
    found = {
        str(path.relative_to(_ROOT)): banned
        for path in _TEXTS
        if must_be_plain(path) and (banned := banned_in(path.read_text()))
    }

    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "Return what whoever asks may see.",
        "def test_whoever_came_first() -> None:",
        "A volume of\n    # ours.",
        "Wait for so many seconds.",
        "Counted anew.",
    ],
)
def test_banned_word_is_found(text: str) -> None:
    assert len(banned_in(text)) == 1
