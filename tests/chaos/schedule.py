"""Run the schedule of one seed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from tests.chaos import invariants
from tests.chaos.fleet import Fleet
from tests.chaos.lives import Lives
from tests.chaos.matrix import Cells, cells_of
from tests.chaos.plan import plan_of
from tests.chaos.sidecars import PATIENCE_SECONDS, Sidecars
from tests.chaos.story import Story
from tests.chaos.world import World
from tests.simulator_process import SimulatorProcess

_FAULTS_END_SECONDS = 3.0
_HANGS_SECONDS = 1.0  # none takes a tenth of it unless it hangs


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a schedule ended.

    Attributes:
        orphans: Volumes left where C3 allows it.
        cells: Which faults befell which RPCs, and how often.
    """

    seed: int
    story: Story
    orphans: int
    cells: Cells
    counts: Counter[str]


def run(
    seed: int,
    *,
    cloud: SimulatorProcess,
    fleet: Fleet,
    mutant: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Live through one schedule; what did not hold is in its story."""
    plan = plan_of(seed)
    world = World(cloud=cloud, fleet=fleet, plan=plan, mutant=mutant)
    sidecars = Sidecars(world, patience_seconds=patience_seconds)
    over = threading.Event()
    healer = threading.Thread(target=_heal, args=(world, over))
    healer.start()
    try:
        Lives(world, sidecars).run()
        cells = cells_of(world)
        _finish_what_hangs(world, 0.0)
        orphans = invariants.check(world, sidecars)
    finally:
        over.set()
        healer.join()
        world.close()
    counts = Counter(
        restarts=world.restarts,
        leader_changes=world.leader_changes,
        cancels=len(world.cancels),
        mended_by_hand=world.mended,
    )
    return Outcome(seed=seed, story=world.story, orphans=orphans, cells=cells, counts=counts)


def _heal(world: World, over: threading.Event) -> None:
    """End the faults after a while, for those who would otherwise meet them for ever."""
    if over.wait(_FAULTS_END_SECONDS):
        return
    while not over.wait(0.1):
        if world.cloud.faults():
            world.cloud.clear_faults()
            world.story.tell("all faults end")
        _finish_what_hangs(world, _HANGS_SECONDS)


def _finish_what_hangs(world: World, seconds: float) -> None:
    for operation in world.cloud.operations():
        if operation["state"] == "pending" and time.time() - operation["started-at"] > seconds:
            world.story.tell(f"operation {operation['id']} goes on")
            world.cloud.finish_operation(operation["zone"], operation["id"])
