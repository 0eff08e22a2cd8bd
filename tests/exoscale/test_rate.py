"""The rate of a zone's requests: what it took and refused decides it, the clock is ours (S20)."""

import math
from itertools import pairwise

import pytest

from csi_exoblock.exoscale.rate import Rate
from csi_exoblock.timing import Timing

pytestmark = pytest.mark.fast

TIMING = Timing()
RECOVERY = TIMING.pace_recovery


def take(rate: Rate, count: int, *, since: float) -> None:
    """Let the zone accept a number of requests within a second."""
    for number in range(count):
        rate.taken(since + number / count)


@pytest.fixture
def rate() -> Rate:
    """A zone that took twenty requests in a second, and refused the next."""
    rate = Rate(TIMING)
    take(rate, 20, since=101.0)
    assert rate.refused(sent_at=102.0, now=102.0)
    return rate


def test_zone_is_wide_open_until_it_refuses() -> None:
    assert Rate(TIMING).per_second(100.0) == math.inf


def test_refusal_halves_what_the_zone_took(rate: Rate) -> None:
    assert rate.per_second(102.0) == 10.0


def test_rate_comes_back_soon_is_careful_around_what_was_refused_then_grows_ever_faster(
    rate: Rate,
) -> None:
    rates = [rate.per_second(102.0 + RECOVERY * share) for share in (0, 0.5, 1, 1.5, 2, 4)]

    assert rates == [10.0, 18.75, 20.0, 21.25, 30.0, 290.0]


def test_all_refusals_of_one_crowd_count_once(rate: Rate) -> None:
    """What was sent before the rate fell says nothing about the new one."""
    assert not rate.refused(sent_at=101.9, now=102.1)
    assert rate.per_second(102.1) > 10.0


def test_each_refusal_teaches_the_rate_again(rate: Rate) -> None:
    take(rate, 19, since=115.0)

    rate.refused(sent_at=116.0, now=116.0)

    assert rate.per_second(116.0) == 9.5


def test_rate_that_was_not_used_teaches_nothing(rate: Rate) -> None:
    """The curve is far up by then, and so was a burst that the zone granted after its rest."""
    take(rate, 12, since=500.0)

    rate.refused(sent_at=501.0, now=501.0)

    assert rate.per_second(501.0) == 6.0


def test_burst_is_no_rate(rate: Rate) -> None:
    take(rate, 100, since=105.0)
    expected = rate.per_second(106.0)

    rate.refused(sent_at=106.0, now=106.0)

    assert rate.per_second(106.0) == expected / 2.0


def test_zone_that_refuses_everything_is_asked_half_as_often_each_time(rate: Rate) -> None:
    rates = []
    for now in (110.0, 120.0, 130.0, 140.0, 150.0):
        rate.refused(sent_at=now, now=now)
        rates.append(rate.per_second(now))

    assert rates == [5.0, 2.5, 1.25, 1.0, 1.0]


@pytest.mark.parametrize("learnt", [True, False])
def test_zone_that_refused_everything_is_used_at_once_when_it_accepts_again(
    learnt: bool,
) -> None:
    """Its rate has not changed: nothing was accepted from which it could be learnt."""
    rate, now = Rate(TIMING), 100.0
    if learnt:
        take(rate, 20, since=now - 1.0)
    refused = taken = 0
    while now < 108.0:
        refused += rate.refused(sent_at=now, now=now)
        now += 1.0 / rate.per_second(now)
    while taken < 100:
        rate.taken(now)
        taken += 1
        now += 1.0 / rate.per_second(now)

    assert refused <= 12  # it ends at one a second
    assert now - 108.0 < 12.0  # as many as forty creates need


def test_limit_below_all_that_was_assumed_is_learnt_all_the_same() -> None:
    """A zone that grants one request a second: it is asked not much more than twice as often."""
    rate, now, granted_at = Rate(TIMING), 0.0, -1.0
    statuses: list[bool] = []
    while now < 600.0:
        is_taken = now >= granted_at + 1.0
        statuses.append(is_taken)
        if is_taken:
            granted_at = now
            rate.taken(now)
        else:
            rate.refused(sent_at=now, now=now)
        now += 1.0 / rate.per_second(now)

    taken = sum(statuses)
    assert taken > 0.5 * 600
    assert len(statuses) - taken < 1.2 * taken


def test_lone_refusal_is_no_reason_to_crawl() -> None:
    rate = Rate(TIMING)

    rate.refused(sent_at=100.0, now=100.0)

    assert rate.per_second(100.0) == 8.0


@pytest.mark.parametrize("burst_seconds", [0.1, 1.0, 5.0])
def test_zone_that_refills_steadily_is_used_nearly_whole_and_seldom_refuses(
    burst_seconds: float,
) -> None:
    """A storm of ten minutes at a zone that grants 20 a second, and saves up some."""
    rate, now, grant, most = Rate(TIMING), 0.0, 0.0, 20.0 * burst_seconds
    taken, refused, pause = 0, 0, 1 / 160
    while now < 600.0:
        now += pause
        grant = min(most, grant + 20.0 * pause)
        if grant >= 1.0:
            grant -= 1.0
            taken += 1
            rate.taken(now)
        else:
            refused += 1
            rate.refused(sent_at=now, now=now)
        pause = 1.0 / min(160.0, rate.per_second(now))

    assert taken > 0.85 * 20.0 * 600.0
    assert refused < 0.005 * taken


def test_rate_never_jumps(rate: Rate) -> None:
    rates = [rate.per_second(102.0 + second) for second in range(60)]

    assert all(0 < later - earlier < 0.25 * later for earlier, later in pairwise(rates))
