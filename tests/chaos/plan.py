"""What a seed decides: the cloud's answers, the faults, the kills, and what users do meanwhile.

Faults begin and end by ordinal of API call, kills by ordinal of step, leader changes and cancels by
ordinal of CSI call: never by time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from csi_exoblock.simulator.state.modes import Question
from tests.chaos.faults import (
    CELLS,
    CREATE,
    FAULTS,
    LISTS,
    LOST_ANSWERS,
    OF_OPERATIONS,
    OPERATION_OF,
    READS,
    WRITES,
    Fault,
    fits,
)

ZONES = ("ch-gva-2", "de-fra-1", "at-vie-1")

_DEED_OF: Mapping[str, str] = {
    "ControllerPublishVolume": "attach",
    "ControllerUnpublishVolume": "attach",
    "ControllerExpandVolume": "expand",
    "ControllerModifyVolume": "modify",
    "CreateSnapshot": "snapshot",
    "DeleteSnapshot": "snapshot",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a user does with one claim.

    Attributes:
        source: What it is made from: nothing, or an earlier claim's `snapshot` or `clone`.
        deeds: What happens between its creation and its deletion, in this order.
        impatient: After how many answers the claim is deleted though it was never bound, 0: never.
        moves: After how many answers the pod is moved to another zone (C3), 0: never.
        stranger: Whether somebody else's volume has its name already.
        protected: Whether an administrator adds a label while others are changed (D12).
        decoy: Whether a snapshot of a user's has the name that a clone's own would have (N6).
    """

    number: int
    size_gib: int
    source: str = ""
    deeds: tuple[str, ...] = ()
    impatient: int = 0
    moves: int = 0
    stranger: bool = False
    protected: bool = False
    decoy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about one schedule.

    Attributes:
        kills: At which step, by ordinal, each driver that is started dies; 0 is never.
        leader_changes: After which CSI calls, by ordinal, sidecars turn to the other driver.
        cancels: Which CSI calls, by ordinal, are given up, each after a few calls of the API.
        zone_lists: What the API's list of zones shows from a CSI call on, by ordinal.
        dies_by_zone_lists: Whether the drivers die when that changes: only one that starts believes
            a list that lacks a zone.
        leader_changes_between: Whether another process answers for a snapshot from the second
            time on (S18).
    """

    seed: int
    zones: tuple[str, ...]
    modes: Mapping[str, str]
    faults: tuple[Fault, ...]
    kills: tuple[int, ...]
    leader_changes: frozenset[int]
    cancels: frozenset[int]
    lives: tuple[Life, ...]
    zone_lists: Mapping[int, tuple[str, ...]]
    dies_by_zone_lists: bool
    leader_changes_between: bool
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def minimum_gib(self) -> int:
        """The smallest volume that this cloud makes."""
        return int(self.modes.get("minimum-size", "1"))


def plan_of(seed: int) -> Plan:
    """Return what the seed decides."""
    chance, wandering = random.Random(seed), random.Random(f"wandering {seed}")
    zones = ZONES if chance.random() < 0.4 else ZONES[:1]
    modes = dict(_answers(seed))
    minimum = int(modes.get("minimum-size", "1"))
    kind, rpc = CELLS[seed % len(CELLS)]
    return Plan(
        seed=seed,
        zones=zones,
        modes=modes,
        faults=(
            _fault_of(kind, rpc, wandering),
            *(_fault(chance) for _ in range(chance.choice((0, 1, 2, 3, 4, 6)))),
        ),
        kills=tuple(chance.randint(1, 60) for _ in range(chance.choice((0, 0, 0, 1, 1, 2)))),
        leader_changes=frozenset(
            chance.randint(2, 25) for _ in range(chance.choice((0, 0, 0, 1, 2)))
        ),
        cancels=frozenset(chance.randint(1, 25) for _ in range(chance.choice((0, 0, 1, 2)))),
        lives=tuple(
            _meanwhile(life, random.Random(f"meanwhile {life.number} {seed}"))
            for life in _with_administrators(
                _with(_deed_of(kind, rpc), _lives(chance, wandering, minimum)),
                random.Random(f"administrators {seed}"),
            )
        ),
        zone_lists=_zone_lists(zones, random.Random(f"zones {seed}")),
        dies_by_zone_lists=random.Random(f"dies by zones {seed}").random() < 0.6,
        leader_changes_between=random.Random(f"between {seed}").random() < 0.3,
    )


def _meanwhile(life: Life, chance: random.Random) -> Life:
    """Have others do something with a life's volume, or its user change his mind."""
    deeds = (*life.deeds, *(("lower",) if chance.random() < 0.25 else ()))
    return replace(
        life,
        deeds=deeds,
        protected="modify" in deeds and chance.random() < 0.7,
        decoy=life.source == "clone" and chance.random() < 0.7,
    )


def _zone_lists(zones: tuple[str, ...], chance: random.Random) -> Mapping[int, tuple[str, ...]]:
    """Have the list of zones lack some of them for a while, in some schedules.

    It always has the default zone: without it no driver is ready that starts.
    """
    if zones == ZONES[:1] or chance.random() < 0.4:
        return {}
    begin = chance.choice((0, chance.randint(2, 15)))
    default, *others = ZONES
    shown = chance.choice(((default,), *((default, each) for each in others)))
    return {begin: shown, begin + chance.randint(5, 30): ZONES}


def _answers(seed: int) -> Iterator[tuple[str, str]]:
    """Yield what the cloud answers to some questions; a further question changes no other's."""
    for question in Question:
        chance = random.Random(f"{question.label} {seed}")
        if chance.random() < 0.35:
            yield question.label, chance.choice(question.answers)


def _fault_of(kind: str, rpc: str, chance: random.Random) -> Fault:
    operation = OPERATION_OF[rpc]
    if not fits(kind, operation):  # the note of a growth is what an expand begins an operation for
        operation = "update-block-storage-volume"
    skip = chance.randint(3, 9) if rpc in LISTS else chance.choice((0, 0, 1))
    return Fault(kind=kind, operation=operation, skip=skip, count=3)


def _deed_of(kind: str, rpc: str) -> str:
    if rpc == "ControllerExpandVolume" and not fits(kind, OPERATION_OF[rpc]):
        return "expand in use"
    return _DEED_OF.get(rpc, "")


def _with(deed: str, lives: list[Life]) -> tuple[Life, ...]:
    """Have the last life come to a deed."""
    *others, last = lives
    deeds = (*filter(None, [deed]), *(each for each in last.deeds if each != deed))
    return (*others, replace(last, deeds=deeds, impatient=0, stranger=False))


def _with_administrators(lives: tuple[Life, ...], chance: random.Random) -> tuple[Life, ...]:
    """Have somebody add labels by hand in some lives, while the driver changes others."""
    deed = "modify beside an administrator"
    return tuple(
        replace(life, deeds=(*life.deeds, deed)) if chance.random() < 0.2 else life
        for life in lives
    )


def _fault(chance: random.Random) -> Fault:
    if chance.random() < 0.1:  # what leaks in drivers of this kind
        kind = chance.choice(LOST_ANSWERS)
        return Fault(kind=kind, operation=CREATE, skip=chance.choice((0, 1, 2)), count=1)
    kind = chance.choice((*FAULTS, *LOST_ANSWERS))
    operations = WRITES if kind in OF_OPERATIONS or chance.random() < 0.65 else READS
    fitting = [each for each in operations if fits(kind, each)]
    operation = chance.choices(fitting, [3 if each == CREATE else 1 for each in fitting])[0]
    return Fault(
        kind=kind,
        operation=operation,
        skip=chance.choice((0, 0, 0, 1, 2, 4, 7)),
        count=chance.choice((1, 1, 1, 2, 3)),
    )


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
