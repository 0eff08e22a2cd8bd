"""When a request is sent: as fast as its zone accepts them, fair between kinds of work (S20)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import ApiUnavailable, DriverError, ReadAgain
from csi_exoblock.exoscale.fair_queue import FairQueue
from csi_exoblock.exoscale.rate import Rate
from csi_exoblock.timing import CloudTiming

# The most requests under way at once: enough for any network, and few if the zone refuses them all.
_CROWD = 8
_TAKEN_FOR_ONE_MORE = 4  # accepted requests after which one more can be under way, up to _CROWD


class Paces:
    """The pace of every zone."""

    def __init__(self, *, timing: CloudTiming, most_per_second: float) -> None:
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
    """The turn of one request to be sent.

    Attributes:
        read_at: When the read ended that the request rests on (monotonic seconds), if it does.
        held_back: Whether the request waited for the zone's rate, not only for other requests.
        sent_at: When its turn came, in monotonic seconds; `None` while it waits.
        waker: Wakes the waiting thread, so that it checks whether its turn has come.
    """

    def __init__(self, read_at: float | None) -> None:
        self.read_at = read_at
        self.held_back = False
        self.sent_at: float | None = None
        self.waker = threading.Event()


class Pace:
    """The pace of one zone: each request waits for its turn and reports the zone's answer.

    No thread hands out turns. Each thread that sends a request, gets an answer or gives up wakes
    the next one, and the first in the queue watches the clock for all the others.

        with pace.turn("ControllerPublishVolume", deadline) as turn:
            answer = send(request)   # at once: the zone has refused nothing yet
            pace.taken()
        with pace.turn("CreateVolume", deadline) as turn:
            answer = send(request)   # 429 Too Many Requests
            pace.close(2.0)          # Retry-After: 2
            pace.refused(turn)       # the zone gets half as many requests from now on
        with pace.turn("CreateVolume", deadline) as turn:
            ...                      # entered after 2 seconds; turn.held_back is true
        with pace.turn("DeleteVolume", deadline, read_at=time.monotonic() - 2.0):
            ...                      # ReadAgain instead: the volume can be attached by now

    Args:
        most_per_second: The highest rate in requests per second, infinite for no limit.
    """

    def __init__(self, *, zone: str, timing: CloudTiming, most_per_second: float) -> None:
        self._zone = zone
        self._timing = timing
        self._most_per_second = most_per_second
        self._lock = threading.Lock()
        self._queue = FairQueue[Turn]()
        self._rate = Rate(timing)
        self._taken = 0
        self._under_way: dict[Turn, float] = {}
        self._next_at = -math.inf
        self._closed_until = -math.inf

    @contextmanager
    def turn(
        self, work: str, deadline: Deadline, *, read_at: float | None = None
    ) -> Iterator[Turn]:
        """Wait for a turn, and hold it while the block sends the request and reads the answer.

        A request that rests on a read goes before all others: its read was served in rotation. So
        in a storm no write waits behind the reads of other calls until its own read is too old.

        Args:
            work: The kind of work that the request is part of; kinds are served in rotation.
            read_at: When the read ended that the request rests on, in monotonic seconds.

        Raises:
            DeadlineExceeded: The deadline came first.
            ReadAgain: That read is too old by now, or will be.
            ApiUnavailable: The zone asked for no requests until after the deadline.
        """
        deadline.check()
        turn = Turn(read_at)
        with self._lock:
            self._require_fresh(turn)
        self._wait(turn, work, deadline)
        try:
            yield turn
        finally:
            with self._lock:
                del self._under_way[turn]
                self._advance()

    def taken(self) -> None:
        """Note that the zone accepted a request, even if it answered with an error."""
        with self._lock:
            self._rate.taken(time.monotonic())
            self._taken += 1

    def refused(self, turn: Turn) -> None:
        """Note that the zone refused a request because it gets too many, and slow down."""
        with self._lock:
            now = time.monotonic()
            if self._rate.refused(turn.sent_at or now, now):
                self._next_at = now + self._seconds_between(now)

    def close(self, seconds: float) -> None:
        """Send nothing for some seconds, because the zone asked for that."""
        until = time.monotonic() + min(seconds, self._timing.pace_closed_max)
        with self._lock:
            self._closed_until = max(self._closed_until, until)

    def seconds_between(self) -> float:
        """Return the seconds between two requests now, 0.0 while no limit is known."""
        with self._lock:
            return self._seconds_between(time.monotonic())

    def _wait(self, turn: Turn, work: str, deadline: Deadline) -> None:
        with self._lock:
            if turn.read_at is None:
                self._queue.join(work, turn)
            else:
                self._queue.join_ahead(turn)
        try:
            while True:
                with self._lock:
                    self._advance()
                    if turn.sent_at is not None:
                        return
                    turn.waker.clear()
                    pause = self._pause(turn, deadline)
                deadline.pause(turn.waker, pause)
        except DriverError:
            with self._lock:
                if turn.sent_at is None:
                    self._queue.give_up(work, turn)
                else:
                    del self._under_way[turn]
                self._advance()
            raise

    def _advance(self) -> None:
        """Start every request that is due, and wake the first of the others to watch the clock."""
        now = time.monotonic()
        while (turn := self._queue.first()) and self._seconds_to_next(now) <= 0.0:
            self._queue.go()
            in_time = now - self._next_at < self._timing.pace_slip
            self._next_at = (self._next_at if in_time else now) + self._seconds_between(now)
            self._under_way[turn] = turn.sent_at = now
            turn.waker.set()
        if turn:
            turn.waker.set()

    def _pause(self, turn: Turn, deadline: Deadline) -> float:
        """Return after how many seconds a waiting request must check again.

        Raises:
            DeadlineExceeded: The time is over.
            ReadAgain: The read that the request rests on is too old by now, or will be.
            ApiUnavailable: The turn can't come in time.
        """
        now, remaining = time.monotonic(), min(deadline.check(), self._require_fresh(turn))
        closed = self._closed_until - now
        if closed > remaining:
            raise ApiUnavailable(
                f"zone {self._zone}: the API asked to be left alone for {closed:.0f} s more",
                may_have_effect=False,
                retry_after_seconds=closed,
            )
        turn.held_back = turn.held_back or max(closed, self._next_at - now) > 0.0
        if self._queue.first() is turn:
            return min(remaining, self._seconds_to_next(now))
        return remaining

    def _require_fresh(self, turn: Turn) -> float:
        """Return for how long the read that a request rests on still holds, infinite for none.

        It holds for two requests at least: at a low rate no write could follow its read otherwise.

        Raises:
            ReadAgain: It is too old, or will be once the zone takes requests again.
        """
        if turn.read_at is None:
            return math.inf
        now = time.monotonic()
        holds = max(self._timing.read_holds, 2.0 * self._seconds_between(now))
        closed = max(0.0, self._closed_until - now)
        if (left := turn.read_at + holds - now) > closed:
            return left
        raise ReadAgain(
            f"zone {self._zone}: not sent within {holds:.1f} s after the read that it rests on; a "
            "retry reads again"
        )

    def _seconds_to_next(self, now: float) -> float:
        most = min(_CROWD, 1 + self._taken // _TAKEN_FOR_ONE_MORE)
        crowd = list(islice(reversed(self._under_way.values()), most))
        room_at = crowd[-1] + self._timing.pace_crowd if len(crowd) == most else now
        return max(self._closed_until, self._next_at, room_at) - now

    def _seconds_between(self, now: float) -> float:
        return 1.0 / min(self._most_per_second, self._rate.per_second(now))
