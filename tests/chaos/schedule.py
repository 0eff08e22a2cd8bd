"""Run the schedule of one seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.chaos import invariants
from tests.chaos.fleet import Fleet
from tests.chaos.grid import Cells
from tests.chaos.lives import Lives
from tests.chaos.matrix import cells_of
from tests.chaos.plan import ZONES, plan_of
from tests.chaos.sidecars import PATIENCE_SECONDS, Sidecars
from tests.chaos.story import Story
from tests.chaos.world import World
from tests.support.simulator_process import SimulatorProcess


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
    try:
        Lives(world, sidecars).run()
        cells = cells_of(world)
        cloud.list_zones_as(*ZONES)
        _finish_what_hangs(world)
        swept = world.sweep()
        orphans = invariants.check(world, sidecars)
    finally:
        world.close()
    counts = Counter(
        restarts=world.restarts,
        leader_changes=world.leader_changes,
        cancels=len(world.cancels),
        mended_by_hand=world.mended,
        left_where_C3_allows_it=orphans,
        left_to_the_sweeper=swept,
    )
    return Outcome(seed=seed, story=world.story, cells=cells, counts=counts)


def _finish_what_hangs(world: World) -> None:
    """End what nobody waits for any more, so that what is left is left for good."""
    for operation in world.cloud.operations():
        if operation["state"] == "pending":
            world.story.tell(f"operation {operation['id']} goes on")
            world.cloud.finish_operation(operation["zone"], operation["id"])
