"""When to look first at an operation: learnt from those that ended (S20)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import chain, repeat
from uuid import uuid4

import pytest

from csi_exoblock.config import Timing
from csi_exoblock.exoscale.learning import Expectation, Forecast
from csi_exoblock.exoscale.planning import Watched
from csi_exoblock.model import Operation, ZoneName
from csi_exoblock.states import OperationState

pytestmark = pytest.mark.fast

TIMING = Timing(poll_again=0.001)
HARMLESS = TIMING.poll_harmless


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    """Polls are spread at random; bounds on single polls need the same spread in every run."""
    random.seed(20)


class Zone:
    """Where operations of one kind run."""

    def __init__(self) -> None:
        self.expectation = Expectation(HARMLESS)
        self._now = 0.0

    def run(self, durations: Iterable[float]) -> list[tuple[int, float]]:
        """Watch operations of those lengths, one after the other.

        Return of each how many looks it took, and how late the last one was: a multiple of the
        length.
        """
        return [each for seconds in durations for each in self.run_together([seconds])]

    def run_together(self, durations: Iterable[float]) -> list[tuple[int, float]]:
        """Do the same with operations that begin all at once."""
        begun = [(seconds, self._begin()) for seconds in durations]
        seen = []
        for seconds, watched in begun:
            looks, done = look_until_done(watched, seconds)
            self.expectation.ended(begun_at=self._now, pending=watched.seen_pending, done=done)
            seen.append((looks, done / seconds))
        self._now += max(watched.due for _, watched in begun)
        return seen

    def _begin(self) -> Watched:
        forecast = self.expectation.forecast()
        due = max(forecast.first if forecast else 0.0, TIMING.poll_initial)
        return Watched(
            operation=operation(), expected_at=due, due=due, resource=None, forecast=forecast,
            was_shown=False,
        )  # fmt: skip


def look_until_done(watched: Watched, seconds: float) -> tuple[int, float]:
    """Return how many looks it took, and at what age the last one was."""
    looks = 1
    while watched.due < seconds:
        watched.seen_pending = watched.due
        looks += 1
        watched.look_again(watched.due, TIMING)
    return looks, watched.due


def operation() -> Operation:
    """Return one that began at the beginning of time."""
    return Operation(
        id=uuid4(),
        zone=ZoneName("ch-gva-2"),
        state=OperationState.PENDING,
        reference=None,
        reason=None,
        message="",
        begun_at=0.0,
    )


def test_nothing_is_expected_before_anything_was_seen() -> None:
    assert Expectation(HARMLESS).forecast() is None


@pytest.mark.parametrize("seconds", [0.3, 0.9])
def test_what_takes_always_as_long_is_soon_looked_at_once_and_hardly_too_late(
    seconds: float,
) -> None:
    seen = Zone().run(repeat(seconds, 200))

    assert max(late for _, late in seen[1:]) < 1.05
    assert max(looks for looks, _ in seen[2:]) <= 4
    assert sum(looks for looks, _ in seen[2:]) / len(seen) < 1.15


@pytest.mark.parametrize("seconds", [2.0, 60.0])
def test_what_takes_always_long_is_looked_at_once_as_well_when_that_is_sure(seconds: float) -> None:
    zone = Zone()
    doubted, believed = zone.run(repeat(seconds, 40)), zone.run(repeat(seconds, 200))

    assert max(late for _, late in doubted[1:] + believed) < 1.05
    assert max(looks for looks, _ in doubted) < 40  # it grows with the logarithm, then evenly
    assert sum(looks == 1 for looks, _ in believed) > 0.8 * len(believed)


def test_faster_cloud_is_noticed() -> None:
    seen = Zone().run(chain(repeat(2.0, 50), repeat(0.5, 40)))

    assert seen[-1][1] < 1.05


def test_slower_cloud_is_noticed_and_not_asked_all_the_time() -> None:
    seen = Zone().run(chain(repeat(0.5, 50), repeat(3.0, 60)))

    assert seen[-1][0] == 1
    assert seen[-1][1] < 1.05
    assert max(looks for looks, _ in seen[50:]) < 20


def test_one_that_hung_does_not_hold_up_the_next() -> None:
    seen = Zone().run([*repeat(1.0, 30), 80.0, *repeat(1.0, 10)])

    assert max(late for _, late in seen[31:]) < 1.15


@pytest.mark.parametrize(
    ("before", "usual"),
    [
        ([[60.0]], 2.0),
        ([[6.0]], 0.3),
        ([[60.0] * 100], 0.3),
        ([*[[2.0]] * 5, *[[30.0]] * 8], 2.0),
        ([*[[2.0]] * 5, [60.0] * 12], 2.0),
        ([*[[2.0]] * 50, *[[30.0]] * 20], 2.0),
        ([*[[0.3]] * 50, [60.0] * 100, [60.0] * 100], 0.3),
        ([*[[30.0]] * 200, *[[2.0]] * 50, *[[40.0]] * 8], 2.0),
    ],
    ids=[
        "the first is slow",
        "the first is a little slow",
        "the first are slow together",
        "several are slow",
        "several are slow together",
        "many are slow",
        "two bursts are slow",
        "several are slow where once all were",
    ],
)
def test_slow_time_does_not_hold_up_those_who_come_after(
    before: list[list[float]], usual: float
) -> None:
    zone = Zone()
    for together in before:
        zone.run_together(together)

    seen = zone.run(repeat(usual, 50))

    assert max(late * usual - usual for _, late in seen) < HARMLESS
    assert max(late for _, late in seen[3:]) < 1.15


def test_many_that_stall_together_are_one_incident() -> None:
    zone = Zone()
    zone.run(repeat(0.3, 20))
    zone.run_together(repeat(60.0, 100))

    assert max(late for _, late in zone.run(repeat(0.3, 20))) < 1.3


def test_burst_in_a_cloud_that_was_slow_for_long_finds_out_that_it_has_recovered() -> None:
    zone = Zone()
    zone.run(repeat(30.0, 200))
    zone.run_together(repeat(2.0, 100))

    assert max(late for _, late in zone.run(repeat(2.0, 20))) < 1.3


def test_recovery_of_a_cloud_that_was_slow_for_long_is_noticed_soon() -> None:
    zone = Zone()
    zone.run(repeat(30.0, 200))

    seen = zone.run(repeat(2.0, 40))

    assert sum(late > 1.5 for _, late in seen) <= 16
    assert max(late for _, late in seen[20:]) < 1.05


def test_varying_durations_cost_few_looks() -> None:
    durations = [2.0 * (1.0 + 0.2 * ((number * 7) % 11 - 5) / 5) for number in range(300)]

    seen = Zone().run(durations)[40:]

    assert sum(looks for looks, _ in seen) / len(seen) < 1.6
    assert sum(late for _, late in seen) / len(seen) < 1.3


def test_late_look_teaches_nothing() -> None:
    """Some wait for a list that many share; it is not the cloud that was slow."""
    expectation = Expectation(HARMLESS)
    expectation.ended(begun_at=0.0, pending=0.29, done=0.3)

    expectation.ended(begun_at=1.0, pending=0.0, done=1.3)

    assert expectation.forecast() == Forecast(first=0.3, likely=0.3, step=0.04 * 0.3, done=0.3)


def test_only_what_is_far_faster_says_so() -> None:
    expectation = Expectation(HARMLESS)

    assert not expectation.ended(begun_at=0.0, pending=58.0, done=60.0)
    assert not expectation.ended(begun_at=60.0, pending=45.0, done=50.0)
    assert expectation.ended(begun_at=120.0, pending=1.6, done=2.0)
