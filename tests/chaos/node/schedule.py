"""Run the schedule of one seed."""

from __future__ import annotations

import pathlib
from collections import Counter
from dataclasses import dataclass

from tests.chaos.fleet import Fleet
from tests.chaos.grid import Cells
from tests.chaos.node import hostile, invariants
from tests.chaos.node.kubelet import PATIENCE_SECONDS, Kubelet
from tests.chaos.node.lives import Lives
from tests.chaos.node.matrix import cells_of
from tests.chaos.node.plan import plan_of
from tests.chaos.node.steps import Steps
from tests.chaos.node.world import World
from tests.chaos.story import Story

_LIFE = 10  # times kubelet's patience: no call of a life that ends takes all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a schedule ended.

    Attributes:
        cells: Which faults befell which RPCs, and how often.
    """

    seed: int
    story: Story
    cells: Cells
    counts: Counter[str]


def run(
    seed: int,
    folder: pathlib.Path,
    *,
    fleet: Fleet,
    steps: Steps,
    mutant: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Live through one schedule in an empty folder; what did not hold is in its story."""
    world = World(
        folder, fleet=fleet, steps=steps, plan=hostile.added_to(plan_of(seed)), mutant=mutant
    )
    try:
        kubelet = Kubelet(world, patience_seconds=patience_seconds)
        Lives(world, kubelet, limit_seconds=_LIFE * patience_seconds).run()
        invariants.check_commands(world)
        cells = cells_of(world)
    finally:
        world.close()
    counts = Counter(restarts=world.restarts, calls=world.story.next_call() - 1)
    return Outcome(seed=seed, story=world.story, cells=cells, counts=counts)
