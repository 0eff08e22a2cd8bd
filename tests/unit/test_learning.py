"""When to look first at an operation: learnt from those that ended (S20)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat
from uuid import uuid4

import pytest

from csi_exoblock.config import Timing
from csi_exoblock.exoscale.learning import Expectation, Forecast
from csi_exoblock.exoscale.planning import Watched
from csi_exoblock.model import Operation, OperationState, ZoneName

TIMING = Timing(poll_again=0.001, poll_max=1000.0)


def looks_at(expectation: Expectation, seconds: float) -> tuple[int, float]:
    """Watch an operation of that length; return how many looks that took, and how late the last."""
    forecast = expectation.forecast()
    first = forecast.first if forecast else 0.2
    watched = Watched(
        operation=operation(), first_due=first, due=first, resource=None, forecast=forecast,
        was_shown=False,
    )  # fmt: skip
    pending, looks = 0.0, 1
    while watched.due < seconds:
        pending, looks = watched.due, looks + 1
        watched.look_again(watched.due, TIMING)
    expectation.ended(pending=pending, done=watched.due)
    return looks, watched.due / seconds


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


def run(durations: Iterable[float]) -> list[tuple[int, float]]:
    expectation = Expectation()
    return [looks_at(expectation, seconds) for seconds in durations]


def test_nothing_is_expected_before_anything_was_seen() -> None:
    assert Expectation().forecast() is None


@pytest.mark.parametrize("seconds", [0.3, 2.0, 60.0])
def test_what_takes_always_as_long_is_soon_looked_at_once_and_hardly_too_late(
    seconds: float,
) -> None:
    seen = run(repeat(seconds, 200))

    assert max(late for _, late in seen[1:]) < 1.05
    assert max(looks for looks, _ in seen[2:]) <= 4
    assert sum(looks for looks, _ in seen[2:]) / len(seen) < 1.15


def test_faster_cloud_is_noticed() -> None:
    seen = run(chain(repeat(2.0, 50), repeat(0.5, 40)))

    assert seen[-1][1] < 1.05


def test_slower_cloud_is_noticed_and_not_asked_all_the_time() -> None:
    seen = run(chain(repeat(0.5, 50), repeat(3.0, 20)))

    assert seen[-1][0] == 1
    assert seen[-1][1] < 1.05
    assert max(looks for looks, _ in seen[50:]) < 20


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

    assert expectation.forecast() == Forecast(first=0.3, step=0.04 * 0.3, done=0.3)
