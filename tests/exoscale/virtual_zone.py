"""Operations that run in no time: polled by the driver's own schedule, on a clock of their own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from csi_exoblock.exoscale.list_evidence import Resource
from csi_exoblock.exoscale.planning import Watched, plan
from csi_exoblock.exoscale.poll_schedule import Expectation
from csi_exoblock.model import Operation, ZoneName
from csi_exoblock.states import OperationState
from csi_exoblock.timing import Timing

TIMING = Timing()
WAKING_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Seen:
    """How an operation was watched: how long it took, when that was seen, how often it was polled.

    A list counts for each operation that it was read for, divided by their number.
    """

    seconds: float
    done: float
    polls: float

    @property
    def late_seconds(self) -> float:
        """How long after its end it was seen to have ended."""
        return self.done - self.seconds

    @property
    def late(self) -> float:
        """The same as a share of its time."""
        return self.late_seconds / self.seconds


class VirtualZone:
    """Where operations of one kind run."""

    def __init__(self) -> None:
        self.expectation = expectation()
        self.now = 0.0

    def run(self, durations: Iterable[float]) -> list[Seen]:
        """Let operations of these lengths begin one after the other, each when the last was seen.

        Return them in this order.
        """
        return [each for seconds in durations for each in self.run_together([seconds])]

    def run_together(self, durations: Sequence[float], *, at_once: float = math.inf) -> list[Seen]:
        """Do the same with operations that begin at once, or `at_once` of them at a time."""
        pending: dict[Watched, tuple[float, list[float]]] = {}
        waiting, seen = list(reversed(durations)), []
        while waiting or pending:
            while waiting and len(pending) < at_once:
                watched = self._begin(len(pending) + 1)
                pending[watched] = (watched.operation.begun_at + waiting.pop(), [])
            due, next_at = plan(
                list(pending), self.now, fewest={Resource.VOLUME: 2},
                patience_seconds=TIMING.poll_together,
            )  # fmt: skip
            for poll in due:
                for each in poll.at:
                    ends_at, polls = pending[each]
                    polls.append(1.0 / len(poll.at))
                    if ends_at <= self.now:
                        seen.append(self._end(each, ends_at, sum(polls)))
                        del pending[each]
                    else:
                        each.seen_pending = each.age(self.now)
                        each.schedule_next(self.now, TIMING, len(pending))
            if not due:
                self.now = next_at + WAKING_SECONDS
        return seen

    def _begin(self, sharing: int) -> Watched:
        due = self.now + max(self.expectation.first(sharing), TIMING.poll_initial)
        return Watched(
            operation=operation(self.now),
            expected_at=max(due, self.now + self.expectation.late),
            due=due,
            resource=Resource.VOLUME,
            expectation=self.expectation,
            was_shown=False,
            sharing=sharing,
        )

    def _end(self, watched: Watched, ends_at: float, polls: float) -> Seen:
        begun_at, done = watched.operation.begun_at, watched.age(self.now)
        self.expectation.ended(
            begun_at=begun_at, pending=watched.seen_pending, done=done, sharing=watched.sharing
        )
        return Seen(ends_at - begun_at, done, polls)


def expectation() -> Expectation:
    """Return one of a kind of which nothing is known."""
    return Expectation(shortest_pause=TIMING.poll_again, longest_pause=TIMING.poll_max)


def operation(begun_at: float) -> Operation:
    """Return an operation that began then."""
    return Operation(
        id=uuid4(),
        zone=ZoneName("ch-gva-2"),
        state=OperationState.PENDING,
        reference=None,
        reason=None,
        message="",
        begun_at=begun_at,
    )


def lateness(seen: Iterable[Seen]) -> float:
    """Return how late they were seen on average, as a share of their time."""
    return statistics.fmean(each.late for each in seen)


def polls(seen: Iterable[Seen]) -> float:
    """Return how many polls they took on average."""
    return statistics.fmean(each.polls for each in seen)
