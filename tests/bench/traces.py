"""Who waited for what: an RPC, its requests to the cloud, and the operations behind them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.simulator_process import SimulatorProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that took its time.

    Attributes:
        began: Seconds since the epoch, by the clock that drivers and simulator share.
    """

    what: str
    began: float
    seconds: float

    @property
    def ended(self) -> float:
        """When it was over."""
        return self.began + self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One RPC as its caller saw it, and what the cloud did meanwhile."""

    rpc: str
    began: float
    seconds: float
    requests: tuple[Span, ...]
    operations: tuple[Span, ...]

    @property
    def cloud_seconds(self) -> float:
        """The cloud's own time."""
        return sum(each.seconds for each in self.operations)


class Watch:
    """Follows RPCs that are made one at a time."""

    def __init__(self, cloud: SimulatorProcess) -> None:
        self._cloud = cloud
        self.traces: list[Trace] = []

    def follow(self, rpc: str, call: Callable[[], Any]) -> Any:
        """Make a call, remember what it took, and return its answer."""
        self._cloud.clear_calls()
        began, start = time.time(), time.perf_counter()
        answer = call()
        seconds = time.perf_counter() - start
        self.traces.append(
            Trace(
                rpc=rpc,
                began=began,
                seconds=seconds,
                requests=requests_of(self._cloud),
                operations=tuple(
                    each
                    for spans in operations_of(self._cloud, after=began).values()
                    for each in spans
                ),
            )
        )
        return answer


def requests_of(cloud: SimulatorProcess) -> tuple[Span, ...]:
    """Return the API calls that the cloud has seen since they were last cleared."""
    return tuple(
        Span(what=call.operation, began=call.at, seconds=call.seconds or 0.0)
        for call in cloud.calls()
    )


def operations_of(cloud: SimulatorProcess, *, after: float) -> dict[str, tuple[Span, ...]]:
    """Return the operations that began after a moment, by what they were about: zone and UUID."""
    found: dict[str, tuple[Span, ...]] = {}
    for each in cloud.operations():
        if each["started-at"] > after:
            subject = f"{each['zone']}/{each['reference']['id']}"
            span = Span(what=each["kind"], began=each["started-at"], seconds=each["seconds"] or 0.0)
            found[subject] = (*found.get(subject, ()), span)
    return found
