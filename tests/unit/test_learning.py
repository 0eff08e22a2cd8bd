"""When to look first at an operation: learnt from those that ended (S20)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat

import pytest

from csi_exoblock.exoscale.learning import Expectation

_UNKNOWN, _LATE, _GROWTH = 0.25, 0.04, 1.5  # the steps of exoscale/planning.py


def looks_at(expectation: Expectation, seconds: float) -> tuple[int, float]:
    """Watch an operation of that length; return how many looks that took, and how late the last."""
    first = expectation.first_look()
    age, pending, looks = first or 0.2, 0.0, 1
    while age < seconds:
        step = _UNKNOWN if first is None else _LATE * _GROWTH ** (looks - 1)
        pending, age, looks = age, age * (1 + step), looks + 1
    expectation.ended(pending=pending, done=age)
    return looks, age / seconds


def run(durations: Iterable[float]) -> list[tuple[int, float]]:
    expectation = Expectation()
    return [looks_at(expectation, seconds) for seconds in durations]


def test_nothing_is_expected_before_anything_was_seen() -> None:
    assert Expectation().first_look() is None


@pytest.mark.parametrize("seconds", [0.3, 2.0, 60.0])
def test_what_takes_always_as_long_is_soon_looked_at_once_and_hardly_too_late(
    seconds: float,
) -> None:
    seen = run(repeat(seconds, 200))[5:]

    assert max(late for _, late in seen) < 1.06
    assert sum(looks for looks, _ in seen) / len(seen) < 1.15


def test_faster_cloud_is_noticed() -> None:
    seen = run(chain(repeat(2.0, 50), repeat(0.5, 40)))

    assert seen[-1][1] < 1.05


def test_slower_cloud_is_noticed_and_not_asked_all_the_time() -> None:
    seen = run(chain(repeat(0.5, 50), repeat(3.0, 20)))

    assert seen[-1][0] == 1
    assert seen[-1][1] < 1.05
    assert max(looks for looks, _ in seen[50:]) < 15


def test_one_that_hung_does_not_hold_up_the_next() -> None:
    seen = run([*repeat(1.0, 30), 80.0, *repeat(1.0, 10)])

    assert max(late for _, late in seen[31:]) < 1.15


def test_varying_durations_cost_few_looks() -> None:
    durations = [2.0 * (1.0 + 0.2 * ((number * 7) % 11 - 5) / 5) for number in range(300)]

    seen = run(durations)[20:]

    assert sum(looks for looks, _ in seen) / len(seen) < 1.6
    assert sum(late for _, late in seen) / len(seen) < 1.3


def test_late_look_teaches_nothing() -> None:
    """Some wait for a list that many share; it is not the cloud that was slow."""
    expectation = Expectation()
    expectation.ended(pending=0.29, done=0.3)

    expectation.ended(pending=0.0, done=1.3)

    assert expectation.first_look() == 0.3
