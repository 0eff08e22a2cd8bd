"""How late the driver sees that an operation has ended, and how many polls that takes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.bench.burst import Burst, create_and_delete
from tests.bench.figures import Goal, Spread, table
from tests.bench.plan import Wait
from tests.bench.stage import Stage
from tests.bench.traces import Span, Trace

_POLLS = ("get-operation", "list-block-storage-volumes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Operations of one kind of cloud.

    Attributes:
        late: How long after the operation's end its RPC was answered, in percent of its time.
        polls: For each operation.
    """

    wait: Wait
    late: Spread
    late_mean: float
    polls: float

    @property
    def name(self) -> str:
        """What to call it."""
        times = f"vary by {self.wait.spread:g}" if self.wait.spread else "are constant"
        return f"waiting, {self.wait.at_once} at a time, times {times}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What the section found."""

    rows: tuple[Row, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        for row in self.rows:
            yield Goal.at_most(f"{row.name}: late", row.wait.most_late, row.late_mean, " %")
            yield Goal.at_most(f"{row.name}: polls", row.wait.most_polls, row.polls)

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## Waiting"
        yield ""
        yield (
            "Creates and deletes; the spread is the standard deviation of the logarithm of an "
            "operation's time. Late is the time from an operation's end to the RPC's answer, "
            "beside the operation's own time; a poll is one call or a list that many share."
        )
        yield ""
        yield from table(
            ("times", "median", "at a time", "late, mean", "its p99", "polls an operation"),
            map(_cells, self.rows),
        )

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"lognormal {row.wait.spread:g}" if row.wait.spread else "constant",
        f"{row.wait.seconds:g} s",
        f"{row.wait.at_once}",
        f"{row.late_mean:.1f} %",
        f"{row.late.p99:.0f} %",
        f"{row.polls:.2f}",
    )


def measure(stage: Stage) -> Waits:
    """Let operations end in clouds whose times are constant, and in clouds whose times vary."""
    return Waits(rows=tuple(_row(stage, each) for each in stage.plan.waits))


def _row(stage: Stage, wait: Wait) -> Row:
    stage.say(f"waits: {wait.rounds} times {wait.at_once}, spread {wait.spread:g}")
    with stage.cloud(latency_seconds=wait.seconds, seed=7) as cloud:
        if wait.spread:
            cloud.vary(spread=wait.spread)
        with stage.controller(cloud) as driver:
            bursts = [
                each
                for number in range(wait.learning + wait.rounds)
                for each in create_and_delete(cloud, driver, wait.at_once, f"{number}-")
            ][2 * wait.learning :]
    late = [100 * _late(trace) for each in bursts for trace in each.traces]
    return Row(
        wait=wait,
        late=Spread.of(late),
        late_mean=statistics.fmean(late),
        polls=sum(map(_polls, bursts)) / len(late),
    )


def _late(trace: Trace) -> float:
    ended = max(each.ended for each in trace.operations)
    return (trace.began + trace.seconds - ended) / trace.cloud_seconds


def _polls(burst: Burst) -> int:
    began = min(each.began for each in _operations(burst.traces))
    return sum(each.what in _POLLS and each.began > began for each in burst.requests)


def _operations(traces: Iterable[Trace]) -> Iterator[Span]:
    return (each for trace in traces for each in trace.operations)
