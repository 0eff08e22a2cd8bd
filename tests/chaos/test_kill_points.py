"""Killed at any step and at any API call, a call is completed by its replay (C1, C2, S19)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping

import pytest

from tests.chaos.killing import SCENES, findings_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_PROCESSES = 4  # a scene mostly waits


@pytest.fixture(scope="module")
def findings() -> Iterator[Mapping[str, list[str]]]:
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        # The longest come last in the table and first here, so that none is waited for alone.
        yield dict(pool.imap_unordered(findings_of, reversed(list(SCENES))))


@pytest.mark.parametrize("scene", SCENES)
def test_a_call_killed_anywhere_is_completed_by_its_replay(
    findings: Mapping[str, list[str]], scene: str
) -> None:
    assert findings[scene] == []
