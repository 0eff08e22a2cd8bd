"""The queue of several kinds of work: a storm of one kind starves no other (S20)."""

import pytest

from csi_exoblock.exoscale.fair_queue import FairQueue

pytestmark = pytest.mark.fast


def drained(queue: FairQueue[str]) -> list[str]:
    """Remove all waiters and return them in the order in which they were served."""
    order = []
    while (first := queue.first()) is not None:
        order.append(first)
        queue.go()
    return order


def test_first_to_come_is_served_first() -> None:
    queue = FairQueue[str]()
    for name in "abc":
        queue.join("create", name)

    assert drained(queue) == ["a", "b", "c"]


def test_detach_overtakes_a_storm_of_creates() -> None:
    queue = FairQueue[str]()
    for number in range(500):
        queue.join("create", f"create {number}")
    queue.join("detach", "detach")

    assert drained(queue)[:3] == ["create 0", "detach", "create 1"]


def test_kinds_take_turns() -> None:
    queue = FairQueue[str]()
    for kind in ("create", "create", "create", "delete", "delete", "poll"):
        queue.join(kind, kind)

    assert drained(queue) == ["create", "delete", "poll", "create", "delete", "create"]


def test_waiter_that_comes_again_overtakes_nobody() -> None:
    queue = FairQueue[str]()
    queue.join("poll", "poll")
    queue.join("create", "create")
    queue.go()
    queue.join("poll", "poll again")

    assert drained(queue) == ["create", "poll again"]


def test_waiter_that_gives_up_holds_up_nobody() -> None:
    queue = FairQueue[str]()
    for name in "abc":
        queue.join("create", name)
    queue.join("detach", "detach")

    queue.give_up("create", "a")
    queue.give_up("detach", "detach")

    assert drained(queue) == ["b", "c"]
    queue.join("detach", "late")
    assert drained(queue) == ["late"]


def test_second_steps_go_before_all_kinds_in_the_order_in_which_they_came() -> None:
    queue = FairQueue[str]()
    for name in "abc":
        queue.join("create", name)
    queue.join_ahead("write 1")
    queue.join_ahead("write 2")
    queue.join_ahead("write 3")

    queue.give_up("create", "write 2")

    assert drained(queue) == ["write 1", "write 3", "a", "b", "c"]
