"""Faults wherever they may come: the controller never leaks, doubles or takes what is not its own.

C1, C2, C3, C5, D3, D11, D12, S1, S2, S3, S5, S18, S19, N1, N6, F16. `make chaos` runs as many seeds
as one likes, `make chaos-prove` searches again for the seeds that find each mutant.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Iterator

import pytest

from tests.chaos.batch import run_seeds
from tests.chaos.mutants import MUTANTS
from tests.chaos.suites import Result, results_of

pytestmark = [pytest.mark.schedules, pytest.mark.timeout(240)]

_PROCESSES = 4  # a schedule mostly waits
_CHUNK = 5
_ROUNDS = 3  # through the seeds below, until one of them finds what is broken

# Seeds by which each broken driver is found. Threads of a real process run in an order that no seed
# decides: each finds its mutant most times, and the next is only run where none before it did.
PINNED = {
    "post-is-repeated-blindly": (0, 24, 39, 17, 25, 56, 79),
    "lost-answer-is-final": (18, 70, 25, 98, 100, 69, 3, 58, 0, 4),
    "detach-without-reading": (7, 41, 39, 25, 70, 31, 52),
    "adoption-by-name-only": (7, 65, 20, 56, 77, 63, 7),
    "lock-is-kept-on-cancel": (17, 10, 20, 12, 13, 18, 71),
    "labels-of-others-are-blanked": (4, 103, 143, 129),
    "snapshot-is-named-before-it-is-ready": (374, 359, 142, 310),
    "labels-are-written-from-an-old-read": (6, 15, 22, 37, 13),
    "clone-takes-any-snapshot-of-its-name": (29, 8, 51, 12, 26),
    "unlisted-zone-is-empty": (36, 276, 57, 73),
}
# Found by `make chaos-prove`, by one schedule in ten or fewer and at each run by others: a 404 is
# checked in several places now.
UNPINNED = {"not-found-is-gone"}


@pytest.fixture(scope="module")
def results() -> Iterator[list[Result]]:
    chunks = [range(start, start + _CHUNK) for start in range(0, 50, _CHUNK)]
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        yield [
            result
            for chunk in pool.imap(functools.partial(results_of, "controller"), chunks)
            for result in chunk
        ]


def test_fifty_schedules_break_no_invariant(results: list[Result]) -> None:
    assert len(results) == 50
    broken = [f"seed {each.seed}: {each.breaches}\n{each.story}" for each in results if each.story]

    assert not broken, "\n\n".join(broken)


def test_the_schedules_are_no_idle_ones(results: list[Result]) -> None:
    befell = {kind for each in results for kind, _ in each.cells}
    deaths = sum(each.counts["restarts"] for each in results)

    assert len(befell) >= 15
    assert deaths >= 10
    assert sum(each.counts["leader_changes"] for each in results) >= 10


@pytest.mark.parametrize("mutant", sorted(MUTANTS.keys() - UNPINNED))
def test_the_harness_sees_a_broken_driver(mutant: str) -> None:
    results = run_seeds(_ROUNDS * PINNED[mutant], mutant, patient=False)

    assert any(result.breaches for result in results)
