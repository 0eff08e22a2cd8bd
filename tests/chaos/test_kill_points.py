"""Killed or cancelled anywhere, a call is completed by its replay (C1, C2, S5, S19)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping

import pytest

from tests.chaos.killing import Findings, findings_of, named_steps
from tests.chaos.scenes import SCENES

pytestmark = [pytest.mark.kill_points, pytest.mark.timeout(3600)]  # the first waits for all scenes

# It comes a minute after the last list, and before it nothing has been done.
_ONLY_LATER = "looking for the name in other zones"

_PROCESSES = 4  # a scene mostly waits


@pytest.fixture(scope="module")
def findings() -> Iterator[Mapping[str, Findings]]:
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        # The longest come last in the table and first here, so that none is waited for alone.
        yield {each.scene: each for each in pool.imap_unordered(findings_of, [*SCENES][::-1])}


@pytest.mark.parametrize("scene", SCENES)
def test_a_call_killed_or_cancelled_anywhere_is_completed_by_its_replay(
    findings: Mapping[str, Findings], scene: str
) -> None:
    assert findings[scene].broken == ()


@pytest.mark.parametrize("scene", [name for name, scene in SCENES.items() if scene.only])
def test_a_scene_comes_to_its_steps(findings: Mapping[str, Findings], scene: str) -> None:
    assert findings[scene].killed == SCENES[scene].only


def test_every_step_is_a_kill_point(findings: Mapping[str, Findings]) -> None:
    killed = {step for each in findings.values() for step in each.killed}

    named = named_steps() - {_ONLY_LATER}
    assert [name for name in named if not any(each.startswith(name) for each in killed)] == []
