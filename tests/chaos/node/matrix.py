"""Which kind of fault befell which RPC of the node, and which command."""

from __future__ import annotations

from collections import Counter

from tests.chaos.grid import Cells, Grid
from tests.chaos.node import plan
from tests.chaos.node.plan import (
    COMMAND_FAULTS,
    GARBAGE,
    HEALTH,
    PUBLISH,
    RPCS,
    STAGE,
    STATS,
    STEP_DEEDS,
    TOOLS,
    UNPUBLISH,
    UNSTAGE,
)
from tests.chaos.node.world import World

# Statistics and health run no command and take no step; an unpublish takes its mount away by a
# system call, as that is never the last one of its file system; blkid runs for a stage alone, and a
# disk is late for one.
_IMPOSSIBLE = frozenset(
    {
        *((kind, rpc) for kind in (*COMMAND_FAULTS, GARBAGE) for rpc in (UNPUBLISH, STATS, HEALTH)),
        *((kind, rpc) for kind in (GARBAGE, plan.LATE) for rpc in RPCS if rpc != STAGE),
        *((plan.BUSY, rpc) for rpc in RPCS if rpc not in (UNPUBLISH, UNSTAGE)),
        *((kind, rpc) for kind in (plan.SLEEPS, plan.SILENT) for rpc in RPCS if rpc != STAGE),
        *(
            (kind, rpc)
            for kind in (plan.FLOODS, plan.REPLACED)
            for rpc in RPCS
            if rpc not in (STAGE, PUBLISH)
        ),
    }
)
GRIDS = (
    Grid(
        kinds=(
            *(*COMMAND_FAULTS, GARBAGE, plan.FLOODS, *STEP_DEEDS, plan.LATE, plan.BUSY),
            *(plan.REPLACED, plan.SLEEPS, plan.SILENT),
        ),
        columns=RPCS,
        impossible=_IMPOSSIBLE,
        prefix="Node",
    ),
    Grid(
        kinds=(*COMMAND_FAULTS, GARBAGE),
        columns=TOOLS,
        impossible=frozenset((GARBAGE, tool) for tool in TOOLS if tool != "blkid"),
    ),
)


def cells_of(world: World) -> Cells:
    """Return what befell whom in one schedule."""
    cells: Cells = Counter(world.fired)
    for line in world.tools.lines():
        if line.what == "began" and line.word:
            cells[line.word, line.rpc] += 1
            cells[line.word, line.tool] += 1
    return cells
