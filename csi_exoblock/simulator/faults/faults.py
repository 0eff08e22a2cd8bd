"""Choose the faults of calls by rules.

A rule names calls and their fault. Chance comes from a seed, so that the same rules and the same
calls give the same faults.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from csi_exoblock.simulator.state.resources import Ending, Leaves, OperationState, Reason


class Fault(StrEnum):
    """The kinds of faults of a call, or of the operation that it begins."""

    REFUSE = "refuse"
    DROP = "drop"
    DELAY = "delay"
    GARBAGE = "garbage"
    PAGE = "page"
    FAIL = "fail"
    TIME_OUT = "time-out"
    HANG = "hang"


class When(StrEnum):
    """Whether a fault comes before the call has its effect, or after."""

    BEFORE = "before"
    AFTER = "after"


_ON_OPERATION = {
    Fault.FAIL: OperationState.FAILURE,
    Fault.TIME_OUT: OperationState.TIMEOUT,
    Fault.HANG: OperationState.PENDING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule: which calls get a fault, and which fault.

    Attributes:
        fault: `refuse` answers with `status`, `drop` cuts the connection, `delay` waits `seconds`,
            `garbage` answers with text that is no JSON, `page` with `status` and a load balancer's
            HTML; `fail`, `time-out` and `hang` concern the operation that the call begins.
        operation: The API's operation id; `*` is any.
        zone: The zone's name; `*` is any.
        skip: How many matching calls pass without a fault first.
        count: The most calls that get the fault; None is no limit.
        probability: The chance that a matching call gets the fault.
        when: For faults of the call itself: before the call has its effect, or after.
        status: For `refuse` and `page`: the HTTP status.
        body: For `refuse` and `garbage`: the body; None is the simulator's own message.
        retry_after: Seconds for the header `Retry-After`.
        seconds: For `delay`: the seconds to wait.
        reason: For `fail` and `time-out`: the operation's reason.
        message: For `fail` and `time-out`: the operation's message.
        calls: The operation ends after this many further calls of the API. For `hang` it then
            succeeds, and None means never; for `fail` and `time-out` it replaces the latency.
        leaves: The state after `fail` and `time-out`: `nothing` changed, the effect `done` all the
            same, the resource in state `error`, or `halfway` in its intermediate state for ever.
        reference: For `fail` and `time-out`: whether the operation names its resource.
    """

    fault: Fault
    operation: str = "*"
    zone: str = "*"
    skip: int = 0
    count: int | None = None
    probability: float = 1.0
    when: When = When.BEFORE
    status: int = 503
    body: str | None = None
    retry_after: float | None = None
    seconds: float = 0.0
    reason: Reason = Reason.UNKNOWN
    message: str | None = None
    calls: int | None = None
    leaves: Leaves = Leaves.NOTHING
    reference: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError unless all numbers are in range."""
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must be from 0 to 1, not {self.probability}")
        if not 200 <= self.status <= 599:
            raise ValueError(f"status must be from 200 to 599, not {self.status}")
        if self.seconds < 0:
            raise ValueError(f"seconds must not be negative, but are {self.seconds}")
        if self.calls is not None and self.calls < 1:
            raise ValueError(f"calls must be at least 1, not {self.calls}")

    @property
    def ending(self) -> Ending:
        """The ending of the operation that a call with this fault begins."""
        if self.fault not in _ON_OPERATION:
            return Ending()
        return Ending(
            state=_ON_OPERATION[self.fault],
            leaves=self.leaves,
            reason=self.reason,
            message=self.message,
            calls=self.calls,
            reference=self.reference,
        )

    def matches(self, operation: str, zone: str, *, begins_operation: bool) -> bool:
        """Return whether the rule matches a call."""
        if self.fault in _ON_OPERATION and not begins_operation:
            return False
        return self.operation in ("*", operation) and self.zone in ("*", zone)


@dataclass(slots=True)
class _Armed:
    """An active rule and its counters."""

    id: int
    rule: Rule
    seen: int = 0
    fired: int = 0

    def fires(self, chance: random.Random) -> bool:
        self.seen += 1
        if self.seen <= self.rule.skip or self.fired == self.rule.count:
            return False
        if self.rule.probability < 1.0 and chance.random() >= self.rule.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The active rules, in the order in which they were added."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._armed: list[_Armed] = []
        self._count = 0

    def add(self, rule: Rule) -> int:
        """Add a rule and return its id."""
        self._count += 1
        self._armed.append(_Armed(self._count, rule))
        return self._count

    def remove(self, id: int) -> None:
        """Remove a rule."""
        self._armed = [armed for armed in self._armed if armed.id != id]

    def clear(self) -> None:
        """Remove all rules."""
        self._armed.clear()

    def choose(self, operation: str, zone: str, *, begins_operation: bool) -> Rule | None:
        """Return the first rule whose fault this call gets; every matching rule counts the call."""
        chosen = None
        for armed in self._armed:
            if not armed.rule.matches(operation, zone, begins_operation=begins_operation):
                continue
            if chosen is None:
                chosen = armed.rule if armed.fires(self._chance) else None
            else:
                armed.seen += 1
        return chosen

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rules with their ids, and how many calls each matched and changed."""
        return [
            {"id": armed.id, "seen": armed.seen, "fired": armed.fired, **asdict(armed.rule)}
            for armed in self._armed
        ]
