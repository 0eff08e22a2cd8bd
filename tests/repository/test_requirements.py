"""Every id that code, tests and pages cite is a rule of docs/requirements.md, and has a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "requirements.md"

# Where ids are cited. pyproject.toml is not read: its S and C are rules of ruff.
_PLACES = (
    ".ci",
    "csi_exoblock",
    "deploy",
    "docs",
    "tests",
    "*.md",
    "*.py",
    "Dockerfile",
    "Makefile",
)
_SUFFIXES = frozenset({".go", ".md", ".py", ".sh", ".txt", ".yaml"})
_GENERATED = _ROOT / "csi_exoblock" / "pb"

# An id stands alone: not within an uuid, a path, a version or another word.
_CITATION = re.compile(r"(?<![\w./-])[DSCFN][0-9]{1,3}(?![\w-])")
# What follows a noqa names rules of ruff.
_NOQA = re.compile(r"noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*")

# Rules that are built although no test cites them, and why. A rule that the page calls not built
# yet, or not in the first release, needs no entry; so when you remove such a mark, cite the rule in
# the test that proves it, and nothing changes here.
_UNCITED: dict[str, str] = {}


def citations(text: str) -> frozenset[str]:
    """Return the ids that a text cites."""
    return frozenset(_CITATION.findall(_NOQA.sub("", text)))


def sources(*places: str) -> Iterator[Path]:
    """Yield the files that people write at these places of the repository."""
    for found in (path for place in places for path in _ROOT.glob(place)):
        if found.is_file():
            yield found
        for path in found.rglob("*"):
            if path.suffix in _SUFFIXES and path.is_file() and _GENERATED not in path.parents:
                yield path


def rules() -> dict[str, str]:
    """Return the text of every rule on the page, by id."""
    chapters = re.split(r"^##+ ", _PAGE.read_text(), flags=re.MULTILINE)
    found = (re.match(r"([DSCFN][0-9]+) .+\n\n", chapter) for chapter in chapters)
    return {each[1]: each.string[each.end() :] for each in found if each}


def test_every_id_is_given_once() -> None:
    headings = re.findall(r"^### ([DSCFN][0-9]+) ", _PAGE.read_text(), re.MULTILINE)

    assert len(headings) == len(set(headings)) > 80


def test_index_lists_every_rule_by_id_and_by_subject() -> None:
    _, _, rest = _PAGE.read_text().partition("## Index")
    by_subject, _, by_id = rest.partition("\n## ")[0].partition("By id:")

    assert set(re.findall(r"\[([DSCFN][0-9]+)\]", by_subject)) == set(rules())
    assert re.findall(r"^\| \[([DSCFN][0-9]+)\]", by_id, re.MULTILINE) == list(rules())


def test_every_rule_has_its_test_and_its_reason() -> None:
    incomplete = [
        name for name, text in rules().items() if "**Test:**" not in text or "**Why:**" not in text
    ]

    assert incomplete == []


def test_every_id_that_is_cited_is_a_rule() -> None:
    unknown = {
        f"{path.relative_to(_ROOT)}: {name}"
        for path in sources(*_PLACES)
        if path != Path(__file__)
        for name in citations(path.read_text()) - set(rules())
    }

    assert unknown == set(), "docs/requirements.md has no such rule"


def test_every_rule_that_is_built_is_cited_by_a_test() -> None:
    postponed = ("**Not built yet", "**Not in the first release")
    cited = {
        name
        for path in sources("tests")
        if path != Path(__file__)
        for name in citations(path.read_text())
    }
    uncited = {name: text for name, text in rules().items() if name not in cited}
    print("no test cites", *uncited)

    built = {name for name, text in uncited.items() if not text.startswith(postponed)}
    assert built == set(_UNCITED), "cite the rule in the test that proves it"


@pytest.mark.parametrize(
    "text",
    [
        "def test_nothing() -> None:  # S99",
        '"""Do it (S99, C1)."""',
        "Rules: D1, S99.",
        "S99's bounded worker",
        "| `flag` | S99 |",
        "[S99](#s99-no-such-rule)",
        "# noqa: S101 - what S99 demands",
    ],
)
def test_made_up_id_is_found(text: str) -> None:
    assert "S99" in citations(text)


@pytest.mark.parametrize(
    "text",
    [
        "pass  # noqa: S110",
        "exec(code)  # noqa: PLW0602, S102 - our own",
        "6f0a2d31-D1-4ac8-9be1-C2-F3",
        "0xS1, UTF8, SHA256, vS1, S1x, /dev/S1",
    ],
)
def test_what_only_looks_like_an_id_is_none(text: str) -> None:
    assert citations(text) == frozenset()
