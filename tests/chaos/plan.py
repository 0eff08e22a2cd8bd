"""What a seed decides: the cloud's answers, the faults, the kills, and what users do meanwhile.

Faults begin and end by ordinal of API call, kills by ordinal of step, leader changes and cancels by
ordinal of CSI call: never by time.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from csi_exoblock.simulator.modes import Question

ZONES = ("ch-gva-2", "de-fra-1", "at-vie-1")

# How each fault of the report is given to the simulator.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "refused 4xx": {"fault": "refuse", "status": 409},
    "bad request": {"fault": "refuse", "status": 400},
    "denied": {"fault": "refuse", "status": 403},
    "refused 5xx": {"fault": "refuse", "status": 503},
    "5xx after": {"fault": "refuse", "status": 502, "when": "after"},
    "throttled": {"fault": "refuse", "status": 429, "retry_after": 0.02},
    "drop before": {"fault": "drop", "when": "before"},
    "drop after": {"fault": "drop", "when": "after"},
    "delay before": {"fault": "delay", "when": "before", "seconds": 3.0},
    "delay after": {"fault": "delay", "when": "after", "seconds": 3.0},
    "garbage": {"fault": "garbage", "when": "after"},
    "fails": {"fault": "fail", "reason": "fault"},
    "fails busy": {"fault": "fail", "reason": "busy"},
    "fails, left": {"fault": "fail", "reason": "partial", "leaves": "error"},
    "fails, done": {"fault": "fail", "reason": "unknown", "leaves": "done"},
    "times out": {"fault": "time-out"},
    "times out, done": {"fault": "time-out", "leaves": "done"},
    "hangs": {"fault": "hang", "calls": 40},  # a driver that waits sends so many in a second
}

WRITES = (
    "create-block-storage-volume",
    "delete-block-storage-volume",
    "attach-block-storage-volume-to-instance",
    "detach-block-storage-volume",
    "resize-block-storage-volume",
    "update-block-storage-volume",
    "create-block-storage-snapshot",
    "delete-block-storage-snapshot",
)
READS = (
    "list-block-storage-volumes",
    "list-block-storage-volumes",  # which every create begins with, and lists come later
    "list-block-storage-snapshots",
    "get-block-storage-volume",
    "get-block-storage-snapshot",
    "get-operation",
    "get-instance",
    "list-quotas",
)
# These befall an operation, and only a write that begins one can have them.
OF_OPERATIONS = frozenset(
    {"fails", "fails busy", "fails, left", "fails, done", "times out", "times out, done", "hangs"}
)
LEAVES_ERROR = "fails, left"
CREATE = "create-block-storage-volume"  # what costs most when it goes wrong, so it does oftener
_LOST_ANSWERS = ("drop after", "5xx after", "garbage")
RESIZE = "resize-block-storage-volume"  # the one write that begins none


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with the API.

    Attributes:
        kind: A key of `FAULTS`.
        operation: Which calls it is about.
        skip: How many such calls are spared first.
        count: How many it befalls.
    """

    kind: str
    operation: str
    skip: int
    count: int

    def rule(self) -> dict[str, Any]:
        """Return the simulator's rule for it."""
        where = {"operation": self.operation, "skip": self.skip, "count": self.count}
        return {**FAULTS[self.kind], **where}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a user does with one claim.

    Attributes:
        source: What it is made from: nothing, or an earlier claim's `snapshot` or `clone`.
        deeds: What happens between its creation and its deletion, in this order.
        impatient: After how many answers the claim is deleted though it was never bound, 0: never.
        moves: After how many answers the pod is moved to another zone (C3), 0: never.
        stranger: Whether somebody else's volume has its name already.
    """

    number: int
    size_gib: int
    source: str = ""
    deeds: tuple[str, ...] = ()
    impatient: int = 0
    moves: int = 0
    stranger: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about one schedule.

    Attributes:
        kills: At which step, by ordinal, each driver that is started dies; 0 is never.
        leader_changes: After which CSI calls, by ordinal, sidecars turn to the other driver.
        cancels: Which CSI calls, by ordinal, are given up, each after a few calls of the API.
    """

    seed: int
    zones: tuple[str, ...]
    modes: Mapping[str, str]
    faults: tuple[Fault, ...]
    kills: tuple[int, ...]
    leader_changes: frozenset[int]
    cancels: frozenset[int]
    lives: tuple[Life, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def minimum_gib(self) -> int:
        """The smallest volume that this cloud makes."""
        return int(self.modes.get("minimum-size", "1"))


def plan_of(seed: int) -> Plan:
    """Return what the seed decides."""
    chance, wandering = random.Random(seed), random.Random(f"wandering {seed}")
    zones = ZONES if chance.random() < 0.4 else ZONES[:1]
    modes = {
        question.label: chance.choice(question.answers)
        for question in Question
        if chance.random() < 0.35
    }
    minimum = int(modes.get("minimum-size", "1"))
    return Plan(
        seed=seed,
        zones=zones,
        modes=modes,
        faults=tuple(_fault(chance) for _ in range(chance.choice((0, 1, 2, 3, 4, 6)))),
        kills=tuple(chance.randint(1, 60) for _ in range(chance.choice((0, 0, 0, 1, 1, 2)))),
        leader_changes=frozenset(
            chance.randint(2, 25) for _ in range(chance.choice((0, 0, 0, 1, 2)))
        ),
        cancels=frozenset(chance.randint(1, 25) for _ in range(chance.choice((0, 0, 1, 2)))),
        lives=tuple(_lives(chance, wandering, minimum)),
    )


def _fault(chance: random.Random) -> Fault:
    if chance.random() < 0.1:  # what leaks in drivers of this kind
        kind = chance.choice(_LOST_ANSWERS)
        return Fault(kind=kind, operation=CREATE, skip=chance.choice((0, 1, 2)), count=1)
    kind = chance.choice((*FAULTS, *_LOST_ANSWERS))
    operations = WRITES if kind in OF_OPERATIONS or chance.random() < 0.65 else READS
    fitting = [each for each in operations if fits(kind, each)]
    operation = chance.choices(fitting, [3 if each == CREATE else 1 for each in fitting])[0]
    return Fault(
        kind=kind,
        operation=operation,
        skip=chance.choice((0, 0, 0, 1, 2, 4, 7)),
        count=chance.choice((1, 1, 1, 2, 3)),
    )


def fits(kind: str, operation: str) -> bool:
    """Tell whether that can go wrong with that operation of the API.

    A volume that an attach leaves in state error is a case for support: no driver can mend it.
    """
    if kind == LEAVES_ERROR:
        return operation.startswith("create-")
    return kind not in OF_OPERATIONS or (operation in WRITES and operation != RESIZE)


_DEEDS = (
    "attach", "attach twice", "expand", "expand in use", "snapshot", "modify", "repeat",
)  # fmt: skip


def _lives(chance: random.Random, wandering: random.Random, minimum: int) -> list[Life]:
    lives: list[Life] = []
    for number in range(chance.randint(1, 4)):
        can_copy = any(not life.stranger and not life.impatient for life in lives)
        lives.append(
            Life(
                number=number,
                size_gib=minimum + chance.choice((0, 0, 1, 3)),
                source=chance.choice(("", "", "snapshot", "clone")) if can_copy else "",
                deeds=tuple(chance.sample(_DEEDS, chance.randint(0, 3))),
                impatient=chance.choice((0, 0, 1, 1, 2)),
                moves=wandering.choice((0, 0, 1, 1, 2)),
                stranger=chance.random() < 0.08,
            )
        )
    return lives
