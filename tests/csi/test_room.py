"""N14: calls that hang in what has no deadline end the process only if they keep all places."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from csi_exoblock.csi.room import Room
from csi_exoblock.errors import DriverError

pytestmark = pytest.mark.fast

PLACES = 3


class Caller:
    """Stands for the context of a call: it can go away while its call goes on."""

    def __init__(self) -> None:
        self._told: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self._told.append(callback)
        return True

    def go(self) -> None:
        for callback in self._told:
            callback()


def take(room: Room, calls: ExitStack) -> Caller:
    """Let a call take a place until the end of the calls."""
    caller = Caller()
    calls.enter_context(room.place(caller))  # type: ignore[arg-type]
    return caller


def test_calls_that_hang_in_all_places_are_noticed() -> None:
    room = Room(PLACES, overdue_seconds=0.0)
    with ExitStack() as calls:
        callers = [take(room, calls) for _ in range(PLACES)]
        seen = [room.is_stuck()]
        for each in callers:
            each.go()
            seen.append(room.is_stuck())

    assert seen == [False, False, False, True]
    assert not room.is_stuck()


def test_calls_that_may_still_end_are_no_reason_to_restart() -> None:
    room = Room(PLACES, overdue_seconds=60.0)
    with ExitStack() as calls:
        for _ in range(PLACES):
            take(room, calls).go()

        assert not room.is_stuck()


def test_call_without_a_place_is_sent_away_and_takes_none() -> None:
    room = Room(PLACES, overdue_seconds=0.0)
    with ExitStack() as calls:
        for _ in range(PLACES):
            take(room, calls)
        with pytest.raises(DriverError, match="no more fit"):
            take(room, calls)

    with ExitStack() as calls:
        for _ in range(PLACES):
            take(room, calls)
