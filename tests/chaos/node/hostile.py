"""What hostile disks, tenants and upgrades add to a plan, chosen apart from all else in it.

Each is seldom in a life, so it is brought to a volume of which it can happen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from tests.chaos.node.plan import (
    AT_MARKING,
    AT_TURN,
    BLOCK,
    FLOODS,
    PUBLISH,
    REPLACED,
    SLEEPS,
    STAGE,
    TRACED,
    CommandFault,
    Plan,
    Round,
    StepDeed,
    VolumePlan,
)

_LIES = "lies"


def added_to(plan: Plan) -> Plan:
    """Return the plan with what its seed decides about hostile things."""
    chance = random.Random(f"hostile {plan.seed}")
    if chance.random() < 0.1:
        return _with_two_drivers(plan, chance)
    plan = replace(plan, volumes=tuple(_ones_own(plan, chance)))
    plan = _with_a_bad_check(plan, chance) if chance.random() < 0.3 else plan
    silent = plan.with_serials and chance.random() < 0.25
    return replace(plan, has_silent_neighbour=silent)


def _ones_own(plan: Plan, chance: random.Random) -> Iterator[VolumePlan]:
    for volume in plan.volumes:
        noise, traced, silent = (chance.random() < share for share in (0.3, 0.3, 0.15))
        # What an mkfs that lies leaves is noise on a volume that was used: refused for good.
        befallen = {each.kind for each in plan.faults if each.volume == volume.number}
        is_noise = noise and volume.origin == "new" and _LIES not in befallen
        first, *others = volume.rounds
        if traced and volume.filesystem == "ext4":
            first = replace(first, deeds=(*first.deeds, TRACED))
        yield replace(
            volume,
            is_noise=is_noise and volume.filesystem != BLOCK,
            rounds=(replace(first, is_silent=silent and plan.with_serials), *others),
        )


def _with_two_drivers(plan: Plan, chance: random.Random) -> Plan:
    """Have the driver that is about to format sleep while its successor serves the node.

    The node has one volume: of what two drivers do to one beside that, no lock could speak.
    """
    filesystem = chance.choice(("ext4", "xfs", "btrfs"))
    volume = VolumePlan(
        number=0, filesystem=filesystem, origin="new", sector_bytes=4096, rounds=(Round(), Round())
    )
    sleeps = StepDeed(volume=0, rpc=STAGE, step=AT_MARKING, kind=SLEEPS)
    return replace(plan, volumes=(volume,), faults=(), deeds=(sleeps,))


def _with_a_bad_check(plan: Plan, chance: random.Random) -> Plan:
    """Have an ext4 want a check, which says far too much, hangs, or has to wait for its turn."""
    number = len(plan.volumes)
    kind = chance.choice((FLOODS, "hangs", REPLACED, REPLACED))
    # Checked as it is published again, after the kernel gave it up; or staged again, after it was
    # pulled out.
    rpc, why = chance.choice(((PUBLISH, "shut down"), (STAGE, "force")))
    volume = VolumePlan(
        number=number,
        filesystem="ext4",
        origin="new",
        sector_bytes=4096,
        rounds=(Round(deeds=(why,)), Round()),
    )
    plan = replace(plan, volumes=(*plan.volumes, volume))
    if kind == REPLACED:
        deed = StepDeed(volume=number, rpc=rpc, step=AT_TURN, kind=kind)
        return replace(plan, deeds=(*plan.deeds, deed))
    fault = CommandFault(volume=number, rpc=rpc, tool="e2fsck", run=1, kind=kind)
    return replace(plan, faults=(*plan.faults, fault))
