"""Killed at any of its steps, a call on the node is completed by its replay (S15, D10)."""

from __future__ import annotations

import multiprocessing
import pathlib
import re
from collections.abc import Iterator, Mapping

import pytest

import csi_exoblock
from tests.chaos.node.killing import SCENES, findings_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

_PROCESSES = 2
_STEP = re.compile(r'logs\.step\("([^"]+)"\)')


@pytest.fixture(scope="module")
def findings() -> Iterator[Mapping[str, list[str]]]:
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        yield dict(pool.imap_unordered(findings_of, SCENES))


@pytest.mark.kill_points
@pytest.mark.parametrize("scene", SCENES)
def test_a_call_killed_at_any_step_is_completed_by_its_replay(
    findings: Mapping[str, list[str]], scene: str
) -> None:
    assert findings[scene] == []


def test_a_pod_gets_a_volume_that_has_come_back_as_another_device() -> None:
    # D7, S6: kubelet stages no volume that a pod still has, be it one that is Terminating
    assert findings_of("publish after a disk was lost")[1] == []


def test_the_driver_dies_at_every_step_that_has_a_name() -> None:
    package = pathlib.Path(csi_exoblock.__file__).parent
    modules = (file for room in ("node", "host") for file in (package / room).glob("*.py"))
    named = {step for file in modules for step in _STEP.findall(file.read_text())}

    assert named == {step for scene in SCENES.values() for step in scene.steps}
