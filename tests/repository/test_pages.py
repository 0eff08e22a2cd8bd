"""What the pages name is there: files, folders, links, targets of make, commands of tests.chaos."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.suites import NAMES

pytestmark = pytest.mark.fast

_ROOT = Path(__file__).parents[2]
_PAGES = sorted([*_ROOT.glob("*.md"), *(_ROOT / "docs").glob("*.md")])

_FOLDERS = ("csi_exoblock", "deploy", "docs", "proto", "tests", r"\.ci")
_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(_FOLDERS)})/[\w./-]*[\w/]")
_GENERATED = "csi_exoblock/pb"
_LINK = re.compile(r"\[[^]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_TARGET = re.compile(r"(?:`|^)make ([a-z0-9-]+)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def missing_paths(text: str) -> set[str]:
    """Return the paths that a text names and the repository does not have."""
    return {
        path
        for path in _PATH.findall(text)
        if path != _GENERATED and not (_ROOT / path).exists() and not list(_ROOT.glob(f"{path}.*"))
    }


def broken_links(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead nowhere in the repository."""
    found = []
    for target, anchor in _LINK.findall(text):
        linked = (page.parent / target).resolve() if target else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            found.append(f"{target}#{anchor}")
    return found


def missing_targets(text: str) -> set[str]:
    """Return the targets that a text tells to make and the Makefile does not have."""
    defined = re.findall(r"^([a-z0-9-]+):", (_ROOT / "Makefile").read_text(), re.MULTILINE)
    return set(_TARGET.findall(text)) - set(defined)


def patterns_for_files(text: str) -> list[str]:
    """Return the words of shell commands in which a shell looks for names of files.

    zsh does not run a command with a pattern that fits none.
    """
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"|(?:^|\s)#.*$", "", commands, flags=re.MULTILINE)
    return re.findall(r"\S*[\[*?]\S*", unquoted)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    assert missing_paths(page.read_text()) == set()


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_target_that_a_page_names_is_defined(page: Path) -> None:
    assert missing_targets(page.read_text()) == set()


@pytest.mark.parametrize(
    "page", [*_PAGES, *_ROOT.glob("deploy/**/*.md")], ids=lambda page: page.name
)
def test_no_upgrade_keeps_the_defaults_of_the_older_chart(page: Path) -> None:
    # `--reuse-values` takes the older chart's defaults for the newer one's: its images too.
    upgrades = re.findall(r"^helm upgrade .*", page.read_text(), re.MULTILINE)

    assert [each for each in upgrades if "--reuse-values" in each] == []


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_no_command_is_indented(page: Path) -> None:  # the site would not show it as one
    assert re.findall(r"^ +```.*", page.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize(
    "page", [*_PAGES, *_ROOT.glob("deploy/**/*.md")], ids=lambda page: page.name
)
def test_commands_can_be_pasted_into_zsh(page: Path) -> None:
    assert patterns_for_files(page.read_text()) == []


def test_every_target_of_a_suite_is_in_the_map() -> None:
    text = (_ROOT / "CONTRIBUTING.md").read_text()
    told = set(re.findall(r"^make ([a-z0-9-]+)", (_ROOT / ".ci" / "run").read_text(), re.MULTILINE))

    # `make check` is `make lint` and more.
    assert told - {"lint"} <= set(re.findall(r"^\| `make ([a-z0-9-]+)", text, re.MULTILINE))


def test_every_room_and_every_folder_of_tests_is_in_the_map() -> None:
    text = (_ROOT / "CONTRIBUTING.md").read_text()
    rooms = [
        each.parent.relative_to(_ROOT)
        for top in ("csi_exoblock", "tests")
        for each in (_ROOT / top).glob("*/__init__.py")
    ]

    assert [str(room) for room in rooms if str(room) not in text] == []


def test_every_suite_of_schedules_that_a_page_names_exists() -> None:
    text = (_ROOT / "CONTRIBUTING.md").read_text()

    assert set(re.findall(r"python -m tests\.chaos (\w+)", text)) == set(NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "run `tests/nowhere`",
        "see csi_exoblock/controller/volume.py.",
        "`.venv/bin/pytest tests/node/test_nothing.py`",
    ],
)
def test_missing_path_is_found(text: str) -> None:
    assert len(missing_paths(text)) == 1


def test_pattern_for_files_is_found() -> None:
    text = "```sh\nkubectl get --output=drivers[*].name '[*]'  # [*]\n```\n"

    assert patterns_for_files(text) == ["--output=drivers[*].name"]


@pytest.mark.parametrize("text", ["`make tests`", "make all-of-it  # now"])
def test_missing_target_is_found(text: str) -> None:
    assert len(missing_targets(text)) == 1


@pytest.mark.parametrize("text", ["[x](nowhere.md)", "[x](docs/requirements.md#s99)", "[x](#none)"])
def test_broken_link_is_found(text: str) -> None:
    assert len(broken_links(_ROOT / "README.md", text)) == 1
