"""Each message of the driver has its place in docs/troubleshooting.md, and none there is made up.

A row's first cell holds the text of an event, with `…` for whatever changes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "troubleshooting.md"
_MESSAGES = _ROOT / "tests" / "data" / "messages.txt"
_OTHERS = "Kubernetes says:"
"""What stands over a table of events that are not the driver's."""

# Places that say what to do about the cloud's answers; every other row is about one situation.
_ANSWERS = "What the cloud answered"


def rows(text: str) -> Iterator[tuple[str, str]]:
    """Yield section and event text of each row about a message of the driver's own."""
    section, others = "", False
    for line in text.splitlines():
        if line.startswith("## "):
            section, others = line.removeprefix("## "), False
        elif line and not line.startswith("|"):
            others = line == _OTHERS
        elif section and not others and (found := re.match(r"\| `([^`]+)`[^|]*\|", line)):
            yield section, found[1]


def shows(event: str, text: str) -> bool:
    """Return whether a text is, or contains, what an event's row stands for."""
    return re.search(".+?".join(map(re.escape, event.split("…"))), text) is not None


def golden() -> dict[str, str]:
    """Return the driver's messages by what led to them: RPC and answer, or a situation."""
    lines = _MESSAGES.read_text().splitlines()
    found = (re.fullmatch(r"(.+?): ([A-Z_]+): (.+)", line) for line in lines)
    return {match[1]: match[3] for match in found if match}


def written() -> frozenset[str]:
    """Return every text of the code, with `…` in place of what it fills in."""
    texts = set()
    for path in (_ROOT / "csi_exoblock").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    each.value if isinstance(each, ast.Constant) else "…" for each in node.values
                )
                texts.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    return frozenset(texts)


def is_written(event: str, texts: frozenset[str]) -> bool:
    """Return whether the code has a text with all the fixed parts of an event, in their order."""
    pattern = re.compile(".*?".join(re.escape(each) for each in event.split("…")), re.DOTALL)
    return any(pattern.search(text) for text in texts)


EVENTS = list(rows(_PAGE.read_text()))


@pytest.mark.parametrize("name", golden())
def test_every_message_has_its_place(name: str) -> None:  # F11
    text = golden()[name]

    assert [event for _, event in EVENTS if shows(event, text)]


@pytest.mark.parametrize(
    "name",
    [
        each
        for each in golden()
        if not re.search("HTTP|failure|lost|timeout|no JSON|its effect", each)
    ],
)
def test_every_situation_has_a_row_of_its_own(name: str) -> None:  # F11
    text = golden()[name]

    assert [event for section, event in EVENTS if section != _ANSWERS and shows(event, text)]


def test_no_event_is_made_up() -> None:
    texts, messages = written(), golden().values()

    assert [
        event
        for _, event in EVENTS
        if not is_written(event, texts) and not any(shows(event, text) for text in messages)
    ] == []


def test_the_page_has_hardly_a_row_without_fixed_words() -> None:
    assert [event for _, event in EVENTS if len(event.replace("…", "")) < 10] == []


def test_a_message_without_a_place_is_found() -> None:
    assert not any(
        shows(event, "volume x: something that nobody wrote down") for _, event in EVENTS
    )
