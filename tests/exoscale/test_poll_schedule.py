"""When to poll: learnt from the operations that ended, on a clock of the test's own (S20)."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from tests.exoscale.virtual_zone import TIMING, VirtualZone, expectation, lateness, polls

pytestmark = pytest.mark.fast

SEEDS = range(5)
MANY = 100
LONGEST_DELAY = 5.0
SPREAD = 0.3


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    """Pauses are spread at random; figures need the same spread in every run."""
    random.seed(20)


def varying(seed: int, count: int, usual: float = 2.0, spread: float = SPREAD) -> list[float]:
    """Return lengths that vary as they do in a cloud: seldom much shorter, at times much longer."""
    chance = random.Random(seed)
    return [usual * math.exp(chance.gauss(0.0, spread)) for _ in range(count)]


def test_nothing_is_expected_before_anything_was_seen() -> None:
    unknown = expectation()

    assert unknown.first() == 0.0
    assert unknown.following(2.0) == 2.5


@pytest.mark.parametrize("seconds", [0.3, 0.9, 2.0])
def test_what_takes_always_as_long_is_polled_hardly_more_than_once_and_seen_at_once(
    seconds: float,
) -> None:
    seen = VirtualZone().run(repeat(seconds, 400))

    assert lateness(seen) <= 0.02
    assert polls(seen) <= 1.3
    assert max(each.late for each in seen[1:]) < 0.1


def test_what_varies_is_seen_a_tenth_late_with_four_polls() -> None:
    seen = [each for seed in SEEDS for each in VirtualZone().run(varying(seed, 400))]

    assert lateness(seen) <= 0.1
    assert polls(seen) <= 4.0


@pytest.mark.parametrize("usual", [0.3, 20.0])
def test_it_is_about_the_same_with_what_is_short_and_with_what_is_long(usual: float) -> None:
    """No pause is below 20 ms, nor above 3 s."""
    seen = [each for seed in SEEDS for each in VirtualZone().run(varying(seed, 400, usual))]

    assert lateness(seen) <= 0.12
    assert polls(seen) <= 4.0 + usual / TIMING.poll_max


def test_hundred_that_began_together_and_vary_share_a_few_lists() -> None:
    zone = VirtualZone()
    bursts = [zone.run_together(varying(seed, MANY)) for seed in range(12)]
    seen = [each for burst in bursts[2:] for each in burst]

    assert lateness(seen) <= 0.05
    assert polls(seen) <= 0.3


def test_so_do_a_hundred_at_a_time() -> None:
    seen = VirtualZone().run_together(varying(1, 1500), at_once=MANY)

    assert lateness(seen) <= 0.05
    assert polls(seen) <= 0.3


def test_few_stragglers_change_nothing_for_the_others() -> None:
    chance = random.Random(3)
    seen = VirtualZone().run(20.0 if chance.random() < 0.02 else 2.0 for _ in range(400))

    usual = [each for each in seen if each.seconds == 2.0]
    assert lateness(usual) <= 0.02
    assert polls(usual) <= 1.5


@pytest.mark.parametrize(("before", "after"), [(2.0, 0.5), (2.0, 1.2), (0.5, 0.7), (0.5, 3.0)])
def test_faster_or_slower_cloud_is_learnt(before: float, after: float) -> None:
    seen = VirtualZone().run(chain(repeat(before, 100), repeat(after, 200)))

    assert lateness(seen[100:160]) < 1.0
    assert lateness(seen[160:]) <= 0.05
    assert polls(seen[160:]) <= 2.0


def test_cloud_whose_times_begin_to_vary_is_learnt() -> None:
    zone = VirtualZone()
    zone.run(repeat(2.0, 200))
    zone.run(varying(1, 60))

    seen = zone.run(varying(2, 400))

    assert lateness(seen) <= 0.12
    assert polls(seen) <= 4.0


def test_cloud_whose_times_no_longer_vary_is_learnt() -> None:
    zone = VirtualZone()
    zone.run(varying(1, 200))
    zone.run(repeat(2.0, 100))

    seen = zone.run(repeat(2.0, 400))

    assert lateness(seen) <= 0.02
    assert polls(seen) <= 1.3


def end_of_incident(zone: VirtualZone, seconds: float, usual: float) -> Iterator[float]:
    """Yield how long each operation takes that begins in an incident, and some after it."""
    recovers_at = zone.now + seconds
    while zone.now < recovers_at:
        yield max(usual, recovers_at - zone.now if zone.now > recovers_at - 60.0 else 60.0)
    yield from repeat(usual, 50)


@pytest.mark.parametrize("usual", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("seconds", [10.0, 60.0, 3600.0])
def test_incident_is_over_for_the_driver_soon_after_it_is_for_the_cloud(
    usual: float, seconds: float
) -> None:
    zone = VirtualZone()
    zone.run(repeat(usual, 50))

    seen = zone.run(end_of_incident(zone, seconds, usual))

    assert max(each.late_seconds for each in seen) <= LONGEST_DELAY
    assert lateness(seen[-20:]) <= 0.3


@pytest.mark.parametrize("usual", [0.3, 2.0])
def test_it_is_over_for_a_hundred_as_soon(usual: float) -> None:
    zone = VirtualZone()
    zone.run_together([usual] * MANY)
    stalled = zone.run_together([60.0] * MANY) + zone.run_together([60.0] * MANY)

    seen = zone.run_together([usual] * MANY)

    assert max(each.late_seconds for each in stalled + seen) <= LONGEST_DELAY


def test_many_that_stall_together_are_one_incident() -> None:
    zone = VirtualZone()
    zone.run(repeat(0.3, 20))
    zone.run_together([60.0] * MANY)

    assert max(each.late for each in zone.run(repeat(0.3, 20))) < 0.1


def test_burst_in_a_cloud_that_was_slow_for_long_finds_out_that_it_has_recovered() -> None:
    zone = VirtualZone()
    zone.run(repeat(30.0, 100))
    zone.run_together([2.0] * MANY)

    assert max(each.late for each in zone.run(repeat(2.0, 20))) < 0.5


def test_slow_operation_is_not_polled_all_the_time() -> None:
    seen = VirtualZone().run(repeat(60.0, 20))

    assert max(each.polls for each in seen[5:]) <= 60.0 / TIMING.poll_max + 6


def test_poll_that_came_late_teaches_nothing() -> None:
    """Some wait for a list that many share; it is not the cloud that was slow."""
    known = expectation()
    known.ended(begun_at=0.0, pending=1.9, done=2.0)
    before = (known.first(), known.late)

    known.ended(begun_at=3.0, pending=1.0, done=2.3)

    assert (known.first(), known.late) == before
