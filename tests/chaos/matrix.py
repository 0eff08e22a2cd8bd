"""Which kind of fault befell which RPC of the controller."""

from __future__ import annotations

from collections import Counter

from tests.chaos.faults import FAULTS, OPERATION_OF, is_possible
from tests.chaos.grid import Cells, Grid
from tests.chaos.world import World

RPCS = tuple(OPERATION_OF)
_OF_KIND = {
    "create": "CreateVolume",
    "delete": "DeleteVolume",
    "attach": "ControllerPublishVolume",
    "detach": "ControllerUnpublishVolume",
    "update": "ControllerModifyVolume",
    "snapshot": "CreateSnapshot",
    "delete-snapshot": "DeleteSnapshot",
}
PROCESS_FAULTS = ("killed", "cancelled")
KINDS = (*FAULTS, *PROCESS_FAULTS)

IMPOSSIBLE = frozenset((kind, rpc) for kind in KINDS for rpc in RPCS if not is_possible(kind, rpc))
GRID = Grid(kinds=KINDS, columns=RPCS, impossible=IMPOSSIBLE, prefix="Controller")


def cells_of(world: World) -> Cells:
    """Return what befell whom in one schedule."""
    kinds = {operation["id"]: operation["kind"] for operation in world.cloud.operations()}
    cells: Cells = Counter()
    rules = {
        (fault.operation, str(FAULTS[fault.kind]["fault"])): fault.kind
        for fault in reversed(world.plan.faults)  # of two that look alike the first came first
    }
    for call in world.cloud.calls():
        kind = call.fault and rules.get((call.operation, call.fault))
        rpcs = call.user_agent.rpartition("rpc/")[2].split("+")
        if rpcs == ["-"]:  # a poll, whose thread serves all who wait for the operation
            rpcs = [_OF_KIND.get(kinds.get(call.resource or "", ""), "")]
        if kind:
            cells.update((kind, rpc) for rpc in rpcs)
    for method in world.cancels:
        cells["cancelled", method] += 1
    for method in world.killed:
        cells["killed", method] += 1
    return cells
