"""Which polls of pending operations are due: one list for many, a call for a few (S20)."""

from __future__ import annotations

import math

import pytest

from csi_exoblock.exoscale.list_evidence import Resource
from csi_exoblock.exoscale.planning import Poll, Watched, plan
from csi_exoblock.exoscale.poll_schedule import Expectation
from tests.exoscale.virtual_zone import TIMING, expectation, operation

pytestmark = pytest.mark.fast

NOW = 1000.0
PATIENCE = 0.05
FEWEST = {Resource.VOLUME: 3, Resource.SNAPSHOT: 3}


def watched(
    due: float,
    *,
    resource: Resource | None = Resource.VOLUME,
    known: Expectation | None = None,
    age: float = 0.3,
) -> Watched:
    """Return an operation that is due in `due` seconds, and then has that age."""
    return Watched(
        operation=operation(NOW + due - age),
        expected_at=NOW + due,
        due=NOW + due,
        resource=resource,
        expectation=known or expectation(),
        was_shown=False,
    )


def planned(*waiting: Watched) -> tuple[list[Poll], float]:
    """Return the polls to make, and in how many seconds to plan again."""
    polls, next_at = plan(waiting, NOW, fewest=FEWEST, patience_seconds=PATIENCE)
    return polls, round(next_at - NOW, 3)


def test_nothing_is_polled_before_it_is_due() -> None:
    assert planned(watched(0.2), watched(0.7)) == ([], 0.2)


def test_nothing_is_left_to_wait_for_when_nothing_is_watched() -> None:
    assert planned() == ([], math.inf)


def test_a_few_are_asked_for_one_by_one() -> None:
    one, two, later = watched(-0.01), watched(0.0), watched(3.0)

    assert planned(one, two, later) == ([Poll(None, (one,)), Poll(None, (two,))], 3.0)


def test_many_share_a_list() -> None:
    many = [watched(-0.01) for _ in range(50)]

    assert planned(*many) == ([Poll(Resource.VOLUME, tuple(many))], math.inf)


def test_volumes_and_snapshots_are_in_different_lists() -> None:
    volumes = [watched(0.0) for _ in range(3)]
    snapshots = [watched(0.0, resource=Resource.SNAPSHOT) for _ in range(3)]

    polls, _ = planned(*volumes, *snapshots)

    assert [poll.resource for poll in polls] == [Resource.VOLUME, Resource.SNAPSHOT]


def test_what_no_list_can_settle_is_asked_for_by_itself() -> None:
    labels = [watched(0.0, resource=None) for _ in range(5)]

    polls, _ = planned(*labels)

    assert [poll.at for poll in polls] == [(each,) for each in labels]


def test_who_is_due_waits_a_moment_for_others_to_share_a_list_with() -> None:
    many = [watched(-0.01), watched(0.01), watched(0.02), watched(0.5)]

    assert planned(*many) == ([], 0.02)


def test_nobody_waits_longer_than_its_patience() -> None:
    many = [watched(-PATIENCE), *(watched(number / 100) for number in range(10))]

    (poll,), _ = planned(*many)

    assert poll.resource is Resource.VOLUME
    assert len(poll.at) == 7  # those too that are due a moment later: perhaps they are done


def test_long_operations_wait_longer_for_each_other() -> None:
    many = [watched(-0.5, age=20.0), watched(0.0, age=20.0), watched(0.4, age=20.0)]

    assert planned(*many) == ([], 0.4)


def test_no_operation_waits_long_for_others_however_old_it_is() -> None:  # S20
    many = [watched(-1.0, age=600.0), watched(0.4, age=600.0), watched(1.4, age=600.0)]

    assert planned(*many) == ([], 0.5)


def test_old_operation_does_not_hold_up_those_that_are_due_before_it() -> None:
    many = [
        *(watched(number / 100 - 0.06, age=0.3) for number in range(10)),
        watched(0.02, age=60.0),
    ]

    (poll,), _ = planned(*many)

    assert poll.resource is Resource.VOLUME


def test_longer_list_must_serve_more() -> None:
    many = [watched(0.0) for _ in range(5)]

    polls, _ = plan(many, NOW, fewest={Resource.VOLUME: 6}, patience_seconds=PATIENCE)

    assert [poll.resource for poll in polls] == [None] * 5


def steps_of(late: Watched, count: int) -> list[float]:
    """Poll a pending operation so often, and return how long after each poll the next is."""
    steps = []
    for _ in range(count):
        now = late.due
        late.schedule_next(now, TIMING, 1)
        steps.append(late.due - now)
    return steps


def test_pause_of_an_unknown_kind_grows_with_its_age_up_to_the_longest() -> None:
    assert steps_of(watched(0.0, age=2.0), 2) == pytest.approx([0.5, 0.625])
    assert steps_of(watched(0.0, age=60.0), 1) == [TIMING.poll_max]


def test_steps_are_even_until_it_should_be_done_then_grow_up_to_the_longest() -> None:
    known = expectation()
    known.ended(begun_at=0.0, pending=1.55, done=2.0)

    steps = steps_of(watched(0.0, known=known, age=1.55), 20)

    assert steps[:4] == pytest.approx([0.08] * 4, rel=0.11)
    assert steps[8] > 1.2 * steps[5]
    assert steps[-1] == TIMING.poll_max


def test_poll_that_came_early_changes_nothing() -> None:
    early = watched(0.02)

    early.schedule_next(NOW, TIMING, 1)

    assert early.due == NOW + 0.02


def test_what_lists_show_under_way_for_long_is_asked_for_by_itself() -> None:  # S3
    late = watched(-TIMING.poll_doubt - 1.0)

    late.schedule_next(NOW, TIMING, 1)

    assert late.resource is None


def test_last_poll_comes_when_patience_with_the_operation_ends() -> None:  # S3
    stalled = watched(0.0, age=TIMING.operation_stalled - 1.0)

    stalled.schedule_next(NOW, TIMING, 1)

    assert stalled.due == pytest.approx(NOW + 1.0)
