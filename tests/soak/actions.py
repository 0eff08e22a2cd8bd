"""What users do: claims come and go, move, grow, are copied; each time the content is read."""

from __future__ import annotations

from typing import Final

from tests.kubernetes.cluster.snapshots import Snapshot
from tests.soak.tenant import (
    MOST_GIB,
    MOST_SNAPSHOTS,
    MOST_WORKLOADS,
    Action,
    TakenSnapshot,
    Tenant,
)
from tests.soak.workload import PATIENCE_SECONDS, Workload


def _has_room(tenant: Tenant) -> bool:
    return len(tenant.usable()) < MOST_WORKLOADS


def _has_any(tenant: Tenant) -> bool:
    return bool(tenant.usable())


def _has_spare(tenant: Tenant) -> bool:
    return len(tenant.usable()) > 1


def _has_small(tenant: Tenant) -> bool:
    return any(_may_grow(each) for each in tenant.usable())


def _can_clone(tenant: Tenant) -> bool:
    return _has_any(tenant) and _has_room(tenant)


def _can_take_snapshot(tenant: Tenant) -> bool:
    return _has_any(tenant) and len(tenant.snapshots) < MOST_SNAPSHOTS


def _can_restore(tenant: Tenant) -> bool:
    return bool(tenant.snapshots) and _has_room(tenant)


def _has_snapshot(tenant: Tenant) -> bool:
    return bool(tenant.snapshots)


def _claim(tenant: Tenant) -> str:
    """Make a claim with a pod, which writes a canary."""
    workload = tenant.new_workload(size_gib=1, storage_class=tenant.any_class())
    workload.write(tenant.new_canary(workload))
    return workload.name


def _rewrite(tenant: Tenant) -> str:
    """Replace a canary: what came before must not come back."""
    workload = tenant.any_workload()
    workload.check()
    workload.write(tenant.new_canary(workload))
    return workload.name


def _move(tenant: Tenant) -> str:
    """Delete a pod and start it again, there or elsewhere."""
    workload = tenant.any_workload()
    workload.stop()
    node = tenant.any_node()
    workload.start(node)
    workload.check()
    return f"{workload.name} to {node}"


def _grow_in_use(tenant: Tenant) -> str:
    """Ask for more while a pod runs; the volume grows before the next one."""
    workload = _grow(tenant)
    workload.wait_growth_noted(tenant.cloud)
    workload.stop()
    workload.wait_detached(tenant.cloud)  # a pod that comes sooner would keep it attached
    workload.start(tenant.any_node())
    workload.check()
    return f"{workload.name} to {workload.size_gib} GiB"


def _grow_detached(tenant: Tenant) -> str:
    """Ask for more while there is no pod."""
    workload = _grow(tenant, stopped=True)
    workload.wait_size(tenant.cloud)
    workload.start(tenant.any_node())
    workload.check()
    return f"{workload.name} to {workload.size_gib} GiB"


def _grow(tenant: Tenant, *, stopped: bool = False) -> Workload:
    small = [each for each in tenant.usable() if _may_grow(each)]
    workload = tenant.take(small)
    if stopped:
        workload.stop()
        workload.wait_detached(tenant.cloud)
    workload.claim.request(f"{workload.size_gib + 1}Gi")
    workload.size_gib += 1
    return workload


def _may_grow(workload: Workload) -> bool:
    # Until the claim has the size of the last growth, the resizer may sleep for 5 minutes.
    return workload.size_gib < MOST_GIB and workload.is_settled


def _take_snapshot(tenant: Tenant) -> str:
    """Take a snapshot of a volume in use."""
    workload = tenant.any_workload()
    workload.check()
    assert workload.canary
    name = tenant.new_name("s")
    snapshot = Snapshot.create(tenant.namespace, name, of=workload.claim)
    snapshot.wait_ready(PATIENCE_SECONDS)
    tenant.snapshots.append(
        TakenSnapshot(
            snapshot=snapshot,
            canary=workload.canary,
            storage_class=workload.storage_class,
            size_gib=workload.size_gib,
        )
    )
    return f"{name} of {workload.name}"


def _restore(tenant: Tenant) -> str:
    """Make a claim from a snapshot, sometimes a larger one."""
    taken = tenant.chance.choice(tenant.snapshots)
    workload = tenant.new_workload(
        size_gib=taken.size_gib + tenant.chance.randrange(2),
        storage_class=taken.storage_class,
        snapshot=taken.snapshot.name,
    )
    workload.canary = taken.canary
    workload.check()
    return f"{taken.snapshot.name} as {workload.name}"


def _clone(tenant: Tenant) -> str:
    """Make a claim that begins with the content of another one in use."""
    source = tenant.any_workload()
    canary = source.canary
    workload = tenant.new_workload(
        size_gib=source.size_gib, storage_class=source.storage_class, clone_of=source.name
    )
    workload.canary = canary
    workload.check()
    source.check()
    return f"{source.name} as {workload.name}"


def _delete_snapshot(tenant: Tenant) -> str:
    """Delete a snapshot."""
    taken = tenant.chance.choice(tenant.snapshots)
    tenant.snapshots.remove(taken)
    taken.snapshot.delete(PATIENCE_SECONDS)
    return taken.snapshot.name


def _unclaim(tenant: Tenant) -> str:
    """Delete a pod and its claim."""
    workload = tenant.any_workload()
    workload.check()
    workload.stop()
    workload.claim.delete(PATIENCE_SECONDS)
    tenant.workloads.remove(workload)
    return workload.name


ACTIONS: Final = (
    Action(name="claim", weight=6, is_possible=_has_room, run=_claim),
    Action(name="rewrite", weight=3, is_possible=_has_any, run=_rewrite),
    Action(name="move", weight=8, is_possible=_has_any, run=_move),
    Action(name="growth in use", weight=2, is_possible=_has_small, run=_grow_in_use),
    Action(name="growth detached", weight=2, is_possible=_has_small, run=_grow_detached),
    Action(name="snapshot", weight=3, is_possible=_can_take_snapshot, run=_take_snapshot),
    Action(name="restore", weight=3, is_possible=_can_restore, run=_restore),
    Action(name="clone", weight=2, is_possible=_can_clone, run=_clone),
    Action(name="end of a snapshot", weight=2, is_possible=_has_snapshot, run=_delete_snapshot),
    Action(name="end of a claim", weight=5, is_possible=_has_spare, run=_unclaim),
)
"""Everything that users do, with how often."""
