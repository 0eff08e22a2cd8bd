"""When to look at the pending operations of a zone: at one by itself, or at many in one list (S20).

Each is due when operations of its kind are usually done, then again after short, growing steps.
Where several are due at about the same time, one list of their resources serves them all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from csi_exoblock.config import Timing
from csi_exoblock.exoscale.learning import Forecast
from csi_exoblock.exoscale.settling import Resource
from csi_exoblock.model import Operation

_SEARCH = 0.25  # of its age, until the next look at an operation that may take any time
_GROWTH = 1.5
_PATIENCE = 0.05  # of its age, for which one that is due may wait for others


@dataclass(slots=True, eq=False, kw_only=True)
class Watched:
    """A pending operation.

    Attributes:
        expected_at: When it should be done, in monotonic seconds.
        due: When to look next, likewise.
        resource: Of what a list may settle it, `None` if it has to be asked for by itself.
        forecast: What is known of its kind, `None` if none has ended yet.
        was_shown: Whether a list has shown what it is about.
        seen_pending: Its age when it was last seen pending, 0.0 before.
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
        """Return for how long the operation has been under way."""
        return now - self.operation.begun_at

    def look_again(self, now: float, timing: Timing) -> None:
        """Be due again after a step, unless a look that found nothing came before it was due."""
        if self.due > now:
            return
        if now - self.expected_at > timing.poll_doubt:
            self.resource = None
        pause = min(max(self._step(now), timing.poll_again), timing.poll_max)
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards no secret
        self.due = min(now + pause * spread, self.operation.begun_at + timing.operation_stalled)

    def _step(self, now: float) -> float:
        """Return how long after this look to look again: longer and longer once it is late."""
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
    """A look to take: at a list, or at one operation where there is no resource."""

    resource: Resource | None
    at: tuple[Watched, ...]


def plan(
    waiting: Collection[Watched],
    now: float,
    *,
    fewest: Mapping[Resource, int],
    patience_seconds: float,
) -> tuple[list[Look], float]:
    """Return the looks that are due, and when to plan anew unless something changes.

    Args:
        fewest: For how many operations a list of each resource is better than a call for each.
        patience_seconds: For how long at least one that is due waits for others to share a list.
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
