"""GitHub's workflows: they run what the repository has, and what they use is pinned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.fast

_ROOT = Path(__file__).parents[2]
_PATHS = sorted((_ROOT / ".github" / "workflows").glob("*.yml"))
_TEXTS = {path.name: path.read_text() for path in _PATHS}
_WORKFLOWS: dict[str, dict[str, Any]] = {
    name: yaml.safe_load(text) for name, text in _TEXTS.items()
}


def test_there_is_one_for_changes_and_one_for_releases() -> None:
    assert list(_WORKFLOWS) == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("name", _WORKFLOWS)
def test_every_target_and_script_that_a_workflow_runs_is_there(name: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (_ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = list(_commands(name))
    scripts = {found for each in commands for found in re.findall(r"^[.\w-]+/[\w/-]+", each)}

    assert {
        found for each in commands for found in re.findall(r"^make ([a-z0-9-]+)", each)
    } <= targets
    assert all((_ROOT / script).is_file() for script in scripts)


@pytest.mark.parametrize("name", _WORKFLOWS)
def test_foreign_actions_are_pinned_by_commit(name: str) -> None:  # N13
    used = re.findall(r"uses: (.*)", _TEXTS[name])
    foreign = [each for each in used if not each.startswith("./")]

    assert foreign
    assert [each for each in foreign if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\S+", each)] == []
    assert all((_ROOT / each).is_file() for each in used if each.startswith("./"))


@pytest.mark.parametrize("name", _WORKFLOWS)
def test_a_workflow_may_only_read_unless_a_job_says_why(name: str) -> None:  # N13
    assert _WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert re.findall(r": write(?! # \w)", _TEXTS[name]) == []


def _commands(name: str) -> Iterator[str]:
    """Yield what a workflow runs, what it has another workflow run included."""
    for job in _WORKFLOWS[name]["jobs"].values():
        yield job.get("with", {}).get("command", "")
        for step in job.get("steps", ()):
            yield from step.get("run", "").splitlines()
    yield from re.findall(r"default: (.*)", _TEXTS[name])
