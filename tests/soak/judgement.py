"""Whether a run was flat: what is compared, how, and how much may come on top."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.soak.samples import Sample, State

WARM_UP_HOURS: Final = 20 / 60
"""How long a process may fill its caches; a third of its life at most."""

LEAST_SAMPLES: Final = 12
"""Fewer say nothing of a process, those of its warm-up not counted."""

LEAST_SHARE: Final = 0.25
"""Of the run, that a process has to live to be judged: what was killed early still warmed up."""

LEAST_ACTIONS: Final = 20
"""Fewer, in either half, say nothing of the calls that an action takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How much a figure may rise from the first half of a time to the second.

    Attributes:
        quantile: What stands for a half: 0.5 is its median, 0.25 the level that it returns to.
        room: What it may always rise by.
        per_hour: What it may rise by in addition for each hour.
    """

    what: str
    unit: str
    quantile: float
    room: float
    per_hour: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a figure.

    Attributes:
        whose: The process, or empty.
        allowed: What it might have risen by.
    """

    whose: str
    what: str
    unit: str
    early: float
    late: float
    allowed: float

    @property
    def beyond(self) -> float:
        """How much more it rose than it may; below zero if less."""
        return self.late - self.early - self.allowed

    @property
    def is_flat(self) -> bool:
        """Whether it rose by no more than it may."""
        return self.beyond <= 0

    def __str__(self) -> str:
        whose = f"{self.whose}: " if self.whose else ""
        return (
            f"not flat: {whose}{self.what} rose from {self.early:.1f} to {self.late:.1f}"
            f" {self.unit}".rstrip()
            + f", {self.allowed:.1f} more were allowed"
        )


# A controller whose memory grows by a quarter of a MiB an hour reaches its limit of 256 MiB after
# four weeks. The room is what the C library's heap takes and gives back.
_MEMORY = Rule(what="memory", unit="MiB", quantile=0.5, room=6.0, per_hour=0.25)
_OF_PROCESSES: Final[tuple[tuple[Rule, Callable[[State], float]], ...]] = (
    (_MEMORY, lambda state: state.rss_mib),
    # The threads that answer calls stay: more calls at once than ever before leave some more.
    (Rule(what="threads", unit="", quantile=0.25, room=10.0), lambda state: state.threads),
    (Rule(what="open files", unit="", quantile=0.25, room=10.0), lambda state: state.files),
    (
        Rule(what="processes in its container", unit="", quantile=0.25, room=1.0),
        lambda state: state.processes,
    ),
)
_OF_ALL: Final[tuple[tuple[Rule, Callable[[Sample], float]], ...]] = (
    (
        Rule(what="mounts beyond two for each attached volume", unit="", quantile=0.5, room=3.0),
        lambda sample: sample.volume_mounts - 2 * sample.attached,
    ),
    (
        Rule(what="loop devices beyond attached volumes", unit="", quantile=0.5, room=1.0),
        lambda sample: sample.loop_devices - sample.attached,
    ),
    (Rule(what="leases", unit="", quantile=0.5, room=0.0), lambda sample: sample.leases),
)
# Actions differ, and chance decides which come: a claim takes five times the calls of a move.
_CALLS_SHARE = 0.5
_CALLS_ROOM = 2.0


def judge(samples: Sequence[Sample]) -> tuple[Verdict, ...]:
    """Judge everything that there are enough samples of."""
    return (*_of_processes(samples), *_of_all(samples), *_of_calls(samples))


def processes(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Return the samples in which each process of the driver is, by its name."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        for name in sample.states:
            found.setdefault(name, []).append(sample)
    return found


def settled(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points, of hours and values, that come after the warm-up."""
    if not points:
        return []
    begin, end = points[0][0], points[-1][0]
    warm = begin + min(WARM_UP_HOURS, (end - begin) / 3)
    return [point for point in points if point[0] >= warm]


def compare(rule: Rule, points: Sequence[tuple[float, float]], whose: str = "") -> Verdict | None:
    """Compare the halves of what comes after the warm-up; return None if that is too little."""
    points = settled(points)
    if len(points) < LEAST_SAMPLES:
        return None
    values = [value for _, value in points]
    middle = len(values) // 2
    hours_between = (points[-1][0] - points[0][0]) / 2
    return Verdict(
        whose=whose,
        what=rule.what,
        unit=rule.unit,
        early=_quantile(values[:middle], rule.quantile),
        late=_quantile(values[middle:], rule.quantile),
        allowed=rule.room + rule.per_hour * hours_between,
    )


def unexpected(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the processes that counted an exception which no rule foresaw."""
    for name, seen in processes(samples).items():
        if most := max(sample.states[name].unexpected for sample in seen):
            yield f"unexpected: {name} counted {most:g} exceptions that no rule foresaw"


def halves(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Return the samples of the first half of a run, and the others."""
    middle = samples[-1].hours / 2 if samples else 0.0
    early = [sample for sample in samples if sample.hours < middle]
    return early, samples[len(early) :]


def _of_processes(samples: Sequence[Sample]) -> Iterator[Verdict]:
    for name, seen in processes(samples).items():
        if seen[-1].hours - seen[0].hours < LEAST_SHARE * samples[-1].hours:
            continue
        for rule, value in _OF_PROCESSES:
            points = [(sample.hours, value(sample.states[name])) for sample in seen]
            if verdict := compare(rule, points, name):
                yield verdict


def _of_all(samples: Sequence[Sample]) -> Iterator[Verdict]:
    for rule, value in _OF_ALL:
        if verdict := compare(rule, [(sample.hours, value(sample)) for sample in samples]):
            yield verdict


def _of_calls(samples: Sequence[Sample]) -> Iterator[Verdict]:
    early, late = halves(samples)
    if not early:
        return
    actions = (early[-1].actions, late[-1].actions - early[-1].actions)
    if min(actions) < LEAST_ACTIONS:
        return
    calls = [sum(sum(each.calls.values()) for each in half) for half in (early, late)]
    per_action = [call / action for call, action in zip(calls, actions, strict=True)]
    yield Verdict(
        whose="",
        what="calls of the API for each action",
        unit="",
        early=per_action[0],
        late=per_action[1],
        allowed=per_action[0] * _CALLS_SHARE + _CALLS_ROOM,
    )


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
