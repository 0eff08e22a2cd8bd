"""Which kind of fault befell which RPC: a cell that stays empty was never tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.chaos.plan import FAULTS, LEAVES_ERROR, OF_OPERATIONS
from tests.chaos.world import World

Cells = Counter[tuple[str, str]]

RPCS = (
    "CreateVolume",
    "DeleteVolume",
    "ControllerPublishVolume",
    "ControllerUnpublishVolume",
    "ControllerExpandVolume",
    "ControllerModifyVolume",
    "CreateSnapshot",
    "DeleteSnapshot",
    "ListVolumes",
    "ListSnapshots",
)
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

_CREATIONS = ("CreateVolume", "CreateSnapshot")
# Lists begin no operation, so none of theirs can fail; only creations leave something broken.
IMPOSSIBLE = frozenset(
    (kind, rpc)
    for kind in OF_OPERATIONS
    for rpc in RPCS
    if rpc.startswith("List") or (kind == LEAVES_ERROR and rpc not in _CREATIONS)
)


def cells_of(world: World) -> Cells:
    """Return what befell whom in one schedule."""
    kinds = {operation["id"]: operation["kind"] for operation in world.cloud.operations()}
    cells: Cells = Counter()
    rules = {
        (fault.operation, str(FAULTS[fault.kind]["fault"])): fault.kind
        for fault in world.plan.faults
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


def empty_cells(cells: Cells) -> Iterator[tuple[str, str]]:
    """Yield what could have happened and never did."""
    for kind in KINDS:
        for rpc in RPCS:
            if not cells[kind, rpc] and (kind, rpc) not in IMPOSSIBLE:
                yield kind, rpc


def table(cells: Cells) -> Iterable[str]:
    """Yield the lines of the report."""
    yield f"{'':18}" + "".join(f"{rpc.removeprefix('Controller')[:12]:>13}" for rpc in RPCS)
    for kind in KINDS:
        counts = ("-" if (kind, rpc) in IMPOSSIBLE else str(cells[kind, rpc]) for rpc in RPCS)
        yield f"{kind:18}" + "".join(f"{count:>13}" for count in counts)
