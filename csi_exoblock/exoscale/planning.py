"""When to poll the pending operations of a zone: one by one, or many by one list (S20).

An operation is due when operations of its kind are usually done, and then again after short,
growing steps. If several are due at about the same time, one list of their resources serves all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from csi_exoblock.config import Timing
from csi_exoblock.exoscale.learning import Forecast
from csi_exoblock.exoscale.list_evidence import Resource
from csi_exoblock.model import Operation

_SEARCH = 0.25  # of its age: the pause before the next poll while nothing is known of its kind
_GROWTH = 1.5  # each pause is this many times the one before, once the operation is late
_PATIENCE = 0.05  # of its age: how long an operation that is due can wait for others


@dataclass(slots=True, eq=False, kw_only=True)
class Watched:
    """A pending operation that is polled.

        watched.due          # 12.0: the forecast says that such operations take about 4 s
        watched.look_again(now=12.0, timing=timing)  # the poll found it pending
        watched.due          # 12.2: a small step later, as it should be done any moment
        watched.look_again(now=12.1, timing=timing)  # a list that served others came too early
        watched.due          # still 12.2: an early list must not delay the next poll
        watched.look_again(now=13.0, timing=timing)  # late: each pause is longer than the last

    Attributes:
        expected_at: When it should be done, in monotonic seconds.
        due: When to poll it next, in monotonic seconds.
        resource: The kind of list that can prove its success, `None` if only polling it can.
        forecast: The forecast for its kind, `None` if none of that kind has ended yet.
        was_shown: Whether a list has shown the resource that the operation is about.
        seen_pending: Its age when a poll last saw it pending, 0.0 before.
        late_steps: How often it was polled after it should have been done.
        is_looked_at: Whether a poll of it is under way.
    """

    operation: Operation
    expected_at: float
    due: float
    resource: Resource | None
    forecast: Forecast | None
    was_shown: bool
    seen_pending: float = 0.0
    late_steps: int = 0
    is_looked_at: bool = False
    ended: Future[Operation] = field(default_factory=Future)

    def age(self, now: float) -> float:
        """Return for how many seconds the operation has been under way."""
        return now - self.operation.begun_at

    def look_again(self, now: float, timing: Timing) -> None:
        """Schedule the next poll, unless this one ran before the operation was due."""
        if self.due > now:
            return
        if now - self.expected_at > timing.poll_doubt:
            self.resource = None
        pause = min(max(self._step(now), timing.poll_again), timing.poll_max)
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards no secret
        self.due = min(now + pause * spread, self.operation.begun_at + timing.operation_stalled)

    def _step(self, now: float) -> float:
        """Return the seconds until the next poll; they grow once the operation is late."""
        age, forecast = self.age(now), self.forecast
        if forecast is None:
            return _SEARCH * age
        if age < forecast.likely:
            return min(_SEARCH * age, forecast.likely - age)
        if age < forecast.done:
            return min(forecast.step, forecast.done - age)
        self.late_steps += 1
        return forecast.step * _GROWTH ** (self.late_steps - 1)


@dataclass(frozen=True, slots=True)
class Look:
    """A poll to make: of a list, or of one operation if there is no resource."""

    resource: Resource | None
    at: tuple[Watched, ...]


def plan(
    waiting: Collection[Watched],
    now: float,
    *,
    fewest: Mapping[Resource, int],
    patience_seconds: float,
) -> tuple[list[Look], float]:
    """Return the polls that are due, and when to plan again if nothing changes before.

    Args:
        fewest: The number of operations from which on one list costs less than one call each.
        patience_seconds: How long, at least, an operation that is due waits to share a list.
    """
    looks: list[Look] = []
    next_at = math.inf
    alone = [each for each in waiting if each.resource is None]
    for resource, enough in fewest.items():
        of_one = [each for each in waiting if each.resource is resource]
        if not of_one:
            continue
        first = min(each.due for each in of_one)
        patience = max(patience_seconds, *(_PATIENCE * each.age(each.due) for each in of_one))
        together = [each for each in of_one if each.due <= max(first, now) + patience]
        if len(together) < enough:
            alone += of_one
            continue
        at = min(max(each.due for each in together), first + patience)
        if at <= now:
            looks.append(Look(resource, tuple(together)))
        else:
            next_at = min(next_at, at)
    looks += [Look(None, (each,)) for each in alone if each.due <= now]
    return looks, min([next_at, *(each.due for each in alone if each.due > now)])
