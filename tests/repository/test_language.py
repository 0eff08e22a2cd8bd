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

# Rooms that are not yet rewritten; this list only shrinks.
_TO_DO = ("controller",)

# They name the words in order to ban them.
_NAMES_THE_WORDS = ("CONTRIBUTING.md", "tests/repository/test_language.py")

# They quote a message of a room that is not yet rewritten.
_QUOTES = ("tests/controller/test_create_volume.py",)

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
    """Return whether a file is in a room that is rewritten."""
    name = str(path.relative_to(_ROOT))
    to_do = tuple(f"csi_exoblock/{room}/" for room in _TO_DO)
    return name not in (*_NAMES_THE_WORDS, *_QUOTES) and not name.startswith((_GENERATED, *to_do))


def test_no_text_has_a_banned_word() -> None:
    found = {
        str(path.relative_to(_ROOT)): banned
        for path in _TEXTS
        if must_be_plain(path) and (banned := banned_in(path.read_text()))
    }

    assert found == {}


@pytest.mark.parametrize("room", _TO_DO)
def test_room_that_is_to_be_rewritten_exists(room: str) -> None:
    assert (_ROOT / "csi_exoblock" / room / "__init__.py").exists()


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
