"""The figures that are published: page, JSON and README agree, and every miss has a reason."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from typing import Any

import pytest

from tests.bench.__main__ import verdict
from tests.bench.figures import Goal
from tests.bench.misses import KNOWN
from tests.bench.run import SECTIONS

pytestmark = pytest.mark.fast

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text()
README = (ROOT / "README.md").read_text()
REPORT: dict[str, Any] = json.loads((ROOT / "docs" / "benchmarks.json").read_text())

NODE_MEMORY = "node, after 100 volumes came and went: its memory"

# Figures of the README that no benchmark measures: what is shown there is what was printed once.
FIGURE = re.compile(r"(?<!\w)\d[\d,.]* ?(?:MiB|minutes|s|of \d[\d,.]* tests)(?![\w])")


def test_page_shows_the_goals_and_conditions_of_the_json() -> None:
    seen = REPORT["conditions"]

    assert f"{seen['date']}, commit {seen['commit']}, {seen['machine']}" in PAGE
    for goal in REPORT["goals"]:
        end = "met" if goal["met"] else "**missed**"
        assert f"| {goal['what']} | {goal['must']} | {goal['found']} | {end} |" in PAGE
    assert PAGE.count("| met |") + PAGE.count("| **missed** |") == len(REPORT["goals"])


def test_every_storm_of_the_json_is_on_the_page() -> None:
    for storm in REPORT["sections"]["storm"]["storms"]:
        calls, seconds = storm["api_calls"], storm["seconds"]
        assert re.search(rf"^\| {storm['claims']} claims .*{seconds:.1f} s .*{calls:,}", PAGE, re.M)


def test_every_miss_is_known_and_its_reason_is_on_the_page() -> None:
    missed = {goal["what"] for goal in REPORT["goals"] if not goal["met"]}

    assert missed <= set(KNOWN)
    assert set(KNOWN) <= {goal["what"] for goal in REPORT["goals"]}
    for what in missed:
        assert f"Missed: {what}: {KNOWN[what]}." in PAGE


def test_commit_of_the_json_is_in_the_history() -> None:
    commit = REPORT["conditions"]["commit"]
    assert re.fullmatch(r"[0-9a-f]{7,40}", commit), "a tree with changes has no commit"
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("a shallow or exported tree has no history to look into")

    assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0


@pytest.mark.parametrize(
    ("what", "quick", "code"),
    [("anything else", False, 1), ("anything else", True, 0), (min(KNOWN), False, 0)],
)
def test_a_miss_that_nobody_explains_is_an_error(what: str, quick: bool, code: int) -> None:
    missed = Goal.at_most(what, limit=1.0, found=2.0)

    assert verdict([missed], {}, quick=quick) == code


def test_what_could_not_be_measured_is_an_error() -> None:
    assert verdict([], {"storm": "TimeoutError"}, quick=True) == 1


def test_the_readme_says_what_the_benchmark_found_of_the_nodes_memory() -> None:
    (said,) = re.findall(r"node's process takes about (\d+) MiB", README)

    assert _memory_of_a_node() == int(said)


def test_no_other_figure_of_the_readme_can_go_stale() -> None:
    """What the demo printed is an example; all else is measured or said without a number."""
    prose = re.sub(r"```text\n.*?```", "", README, flags=re.DOTALL)

    figures = set(FIGURE.findall(prose)) - {f"{_memory_of_a_node()} MiB", "2 MiB"}

    assert figures <= FROM_CONTRIBUTING


def _memory_of_a_node() -> int:
    """Return how many MiB the benchmark found."""
    (goal,) = (each for each in REPORT["goals"] if each["what"] == NODE_MEMORY)
    return round(float(goal["found"].removesuffix(" MiB")))


# How long suites take is said in one more place; both say the same.
FROM_CONTRIBUTING = set(FIGURE.findall((ROOT / "CONTRIBUTING.md").read_text()))


def test_a_storm_comes_in_every_shape() -> None:  # S21
    shapes = {
        "a StatefulSet is scaled": "storm",
        "volumes are expanded, snapshots are taken": "crowds",
        "claims come and go": "churn",
    }

    assert set(shapes.values()) <= set(SECTIONS)


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
