"""Who is next in a line of several kinds of work: a storm of one starves no other (S20)."""

import pytest

from csi_exoblock.exoscale.line import Line

pytestmark = pytest.mark.fast


def drained(line: Line[str]) -> list[str]:
    """Let all go and return them in their order."""
    order = []
    while (first := line.first()) is not None:
        order.append(first)
        line.go()
    return order


def test_whoever_came_first_goes_first() -> None:
    line = Line[str]()
    for name in "abc":
        line.join("create", name)

    assert drained(line) == ["a", "b", "c"]


def test_detach_overtakes_a_storm_of_creates() -> None:
    line = Line[str]()
    for number in range(500):
        line.join("create", f"create {number}")
    line.join("detach", "detach")

    assert drained(line)[:3] == ["create 0", "detach", "create 1"]


def test_kinds_take_turns() -> None:
    line = Line[str]()
    for kind in ("create", "create", "create", "delete", "delete", "poll"):
        line.join(kind, kind)

    assert drained(line) == ["create", "delete", "poll", "create", "delete", "create"]


def test_who_comes_again_and_again_overtakes_nobody() -> None:
    line = Line[str]()
    line.join("poll", "poll")
    line.join("create", "create")
    line.go()
    line.join("poll", "poll again")

    assert drained(line) == ["create", "poll again"]


def test_who_gives_up_holds_up_nobody() -> None:
    line = Line[str]()
    for name in "abc":
        line.join("create", name)
    line.join("detach", "detach")

    line.give_up("create", "a")
    line.give_up("detach", "detach")

    assert drained(line) == ["b", "c"]
    line.join("detach", "late")
    assert drained(line) == ["late"]
