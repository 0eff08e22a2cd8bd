"""Which polls of a zone's pending operations are due: one by one, or many by one list (S20).

When an operation is due is in `poll_schedule`. If several are due at about the same time, one list
of their resources serves all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from csi_exoblock.exoscale.list_evidence import Resource
from csi_exoblock.exoscale.poll_schedule import Expectation
from csi_exoblock.model import Operation
from csi_exoblock.timing import CloudTiming

_PATIENCE = 0.05  # of its age: how long an operation that is due can wait for others
_MOST_PATIENCE = 1.5  # seconds: with a pause before it, so late the end of an incident is seen


@dataclass(slots=True, eq=False, kw_only=True)
class Watched:
    """A pending operation that is polled.

        watched.due          # 12.0: such operations take about 4 s
        watched.schedule_next(now=12.0, timing=timing, sharing=1)  # the poll found it pending
        watched.due          # 12.2: a small step later, as it should be done any moment
        watched.schedule_next(now=12.1, timing=timing, sharing=1)  # a list came too early
        watched.due          # still 12.2: an early list must not delay the next poll

    Attributes:
        expected_at: When it should be done, in monotonic seconds.
        due: When to poll it next, in monotonic seconds.
        resource: The kind of list that can prove its success, `None` if only polling it can.
        expectation: How long its kind takes.
        was_shown: Whether a list has shown the resource that the operation is about.
        sharing: The most operations that shared lists with it, itself included.
        seen_pending: Its age when a poll last saw it pending, 0.0 before.
        is_polled: Whether a poll of it is under way.
        not_found: How many polls in a row were answered with a 404 that proves nothing.
    """

    operation: Operation
    expected_at: float
    due: float
    resource: Resource | None
    expectation: Expectation
    was_shown: bool
    sharing: int = 1
    seen_pending: float = 0.0
    is_polled: bool = False
    not_found: int = 0
    ended: Future[Operation] = field(default_factory=Future)

    def age(self, now: float) -> float:
        """Return for how many seconds the operation has been under way."""
        return now - self.operation.begun_at

    def schedule_next(self, now: float, timing: CloudTiming, sharing: int) -> None:
        """Schedule the next poll, unless this one ran before the operation was due."""
        self.sharing = max(self.sharing, sharing)
        if self.due > now:
            return
        if now - self.expected_at > timing.poll_doubt:
            self.resource = None
        following = self.operation.begun_at + self.expectation.following(self.age(now), sharing)
        stalled = self.operation.begun_at + timing.operation_stalled
        self.due = min(max(following, now + timing.poll_again), stalled)


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll to make: of a list, or of one operation if there is no resource."""

    resource: Resource | None
    at: tuple[Watched, ...]


def plan(
    waiting: Collection[Watched],
    now: float,
    *,
    fewest: Mapping[Resource, int],
    patience_seconds: float,
) -> tuple[list[Poll], float]:
    """Return the polls that are due, and when to plan again if nothing changes before.

    Args:
        fewest: The number of operations from which on one list costs less than one call each.
        patience_seconds: How long, at least, an operation that is due waits to share a list.
    """
    polls: list[Poll] = []
    next_at = math.inf
    alone = [each for each in waiting if each.resource is None]
    for resource, enough in fewest.items():
        of_one = [each for each in waiting if each.resource is resource]
        if not of_one:
            continue
        first = min(of_one, key=lambda each: each.due)
        patience = min(_PATIENCE * first.age(first.due), _MOST_PATIENCE)
        patience = max(patience_seconds, patience)
        together = [each for each in of_one if each.due <= max(first.due, now) + patience]
        if len(together) < enough:
            alone += of_one
            continue
        at = min(max(each.due for each in together), first.due + patience)
        if at <= now:
            polls.append(Poll(resource, tuple(together)))
        else:
            next_at = min(next_at, at)
    polls += [Poll(None, (each,)) for each in alone if each.due <= now]
    return polls, min([next_at, *(each.due for each in alone if each.due > now)])
