"""When a request may be sent: as fast as its zone takes them, fair between kinds of work (S20)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import ApiUnavailable, DriverError
from csi_exoblock.exoscale.line import Line
from csi_exoblock.exoscale.rate import Rate

_CROWD = 8  # at once: enough for any network, and few if the zone turns out to refuse them all
_TAKEN_FOR_ONE_MORE = 4  # requests: the crowd grows with what the zone is seen to take


class Paces:
    """The pace of every zone."""

    def __init__(self, *, timing: Timing, most_per_second: float) -> None:
        self._timing = timing
        self._most_per_second = most_per_second
        self._lock = threading.Lock()
        self._paces: dict[str, Pace] = {}

    def of(self, zone: str) -> Pace:
        """Return a zone's pace."""
        with self._lock:
            if zone not in self._paces:
                self._paces[zone] = Pace(
                    zone=zone, timing=self._timing, most_per_second=self._most_per_second
                )
            return self._paces[zone]


class Turn:
    """A request's turn.

    Attributes:
        held_back: Whether the zone's rate made it wait, and not only the crowd before it.
    """

    def __init__(self) -> None:
        self.held_back = False
        self.sent_at: float | None = None
        self.looks_again = threading.Event()


class Pace:
    """One zone's requests: each waits for its turn, and tells how the zone received it.

    Nobody conducts: whoever sends, has been answered or gives up sees to who is next, and the first
    of those who wait looks at the clock for all of them.

    Args:
        most_per_second: The rate that is never exceeded, infinite where there is none.
    """

    def __init__(self, *, zone: str, timing: Timing, most_per_second: float) -> None:
        self._zone = zone
        self._timing = timing
        self._most_per_second = most_per_second
        self._lock = threading.Lock()
        self._line = Line[Turn]()
        self._rate = Rate(timing)
        self._taken = 0
        self._under_way: dict[Turn, float] = {}
        self._next_at = -math.inf
        self._closed_until = -math.inf

    @contextmanager
    def turn(self, work: str, deadline: Deadline) -> Iterator[Turn]:
        """Wait for a turn; the block is the request.

        Args:
            work: What the request is part of; the kinds of work that wait are served in turn.

        Raises:
            DeadlineExceeded: The deadline came first.
            ApiUnavailable: The zone asked to be left alone for longer than that.
        """
        deadline.check()
        turn = Turn()
        self._wait(turn, work, deadline)
        try:
            yield turn
        finally:
            with self._lock:
                del self._under_way[turn]
                self._advance()

    def taken(self) -> None:
        """Note that the zone took a request, whatever it answered."""
        with self._lock:
            self._rate.taken(time.monotonic())
            self._taken += 1

    def refused(self, turn: Turn) -> None:
        """Note that the zone turned a request away because it gets too many."""
        with self._lock:
            now = time.monotonic()
            if self._rate.refused(turn.sent_at or now, now):
                self._next_at = now + self._seconds_between(now)

    def close(self, seconds: float) -> None:
        """Send nothing for so long: the zone asked for that."""
        until = time.monotonic() + min(seconds, self._timing.pace_closed_max)
        with self._lock:
            self._closed_until = max(self._closed_until, until)

    def seconds_between(self) -> float:
        """Return how far apart requests are kept now, 0.0 while nothing is known of a limit."""
        with self._lock:
            return self._seconds_between(time.monotonic())

    def _wait(self, turn: Turn, work: str, deadline: Deadline) -> None:
        with self._lock:
            self._line.join(work, turn)
        try:
            while True:
                with self._lock:
                    self._advance()
                    if turn.sent_at is not None:
                        return
                    turn.looks_again.clear()
                    pause = self._pause(turn, deadline)
                deadline.pause(turn.looks_again, pause)
        except DriverError:
            with self._lock:
                if turn.sent_at is None:
                    self._line.give_up(work, turn)
                else:
                    del self._under_way[turn]
                self._advance()
            raise

    def _advance(self) -> None:
        """Send everybody who may go, and have the first of the others look at the clock."""
        now = time.monotonic()
        while (turn := self._line.first()) and self._seconds_to_next(now) <= 0.0:
            self._line.go()
            in_time = now - self._next_at < self._timing.pace_slip
            self._next_at = (self._next_at if in_time else now) + self._seconds_between(now)
            self._under_way[turn] = turn.sent_at = now
            turn.looks_again.set()
        if turn:
            turn.looks_again.set()

    def _pause(self, turn: Turn, deadline: Deadline) -> float:
        """Return after how many seconds a turn that waits has to look again.

        Raises:
            DeadlineExceeded: The time is over.
            ApiUnavailable: The turn can't come in time.
        """
        now, remaining = time.monotonic(), deadline.check()
        closed = self._closed_until - now
        if closed > remaining:
            raise ApiUnavailable(
                f"zone {self._zone}: the API asked to be left alone for {closed:.0f} s more",
                may_have_effect=False,
                retry_after_seconds=closed,
            )
        turn.held_back = turn.held_back or max(closed, self._next_at - now) > 0.0
        return self._seconds_to_next(now) if self._line.first() is turn else remaining

    def _seconds_to_next(self, now: float) -> float:
        most = min(_CROWD, 1 + self._taken // _TAKEN_FOR_ONE_MORE)
        crowd = list(islice(reversed(self._under_way.values()), most))
        room_at = crowd[-1] + self._timing.pace_crowd if len(crowd) == most else now
        return max(self._closed_until, self._next_at, room_at) - now

    def _seconds_between(self, now: float) -> float:
        return 1.0 / min(self._most_per_second, self._rate.per_second(now))
