"""What a seed decides: the volumes, what users do with them, and what goes wrong on their host.

Faults of commands are placed by ordinal of run, deeds by ordinal of step, both counted for one
volume and one RPC; what goes wrong between calls, by ordinal of deed. Nothing is placed by time.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

FILESYSTEMS = ("ext4", "xfs", "btrfs", "ext3")
BLOCK = "block"

STAGE, PUBLISH = "NodeStageVolume", "NodePublishVolume"
UNSTAGE, UNPUBLISH = "NodeUnstageVolume", "NodeUnpublishVolume"
EXPAND, STATS, HEALTH = "NodeExpandVolume", "NodeGetVolumeStats", "NodeGetVolumeHealth"
RPCS = (STAGE, PUBLISH, UNPUBLISH, UNSTAGE, EXPAND, STATS, HEALTH)

# What may befall a command; how, is in tools.py.
COMMAND_FAULTS = (
    "fails", "fails after", "dies", "dies half way", "dies after", "lies",
    "hangs", "hangs after", "outlives its driver",
)  # fmt: skip
GARBAGE = "talks garbage"  # blkid alone has anything to say
FLOODS = "floods"  # e2fsck alone says what a disk makes it say

# What may happen to the host at a step of a call.
PULLED, FAILS, SWAPPED, UNLINKED = "disk vanishes", "disk fails", "links swap", "link goes"
GROWS, KILLED, CANCELLED = "disk grows", "driver killed", "call cancelled"
EXCHANGED = "disk exchanged"  # another one takes its place, and its name if the kernel allows
STEP_DEEDS = (PULLED, EXCHANGED, FAILS, SWAPPED, UNLINKED, GROWS, KILLED, CANCELLED)

# What happens beside the calls.
LATE, BUSY, ELSEWHERE = "disk is late", "volume in use", "volume in use elsewhere"
# What else a pod or its neighbours do; chosen apart, so that the seeds' other choices stay.
HELD, READER, FROZEN = "device held", "reader", "left frozen"
GROWING = "left frozen as it grows"

# What is hostile; hostile.py brings it about.
REPLACED = "disk replaced in its turn"  # while a job waits for its turn
SLEEPS = "driver sleeps"  # about to format, while its successor serves the node
SILENT = "disk is silent"  # and doesn't tell its serial
TRACED = "trace within"  # a tenant's file looks like a part of a RAID
# Where a deed happens that has no step by its ordinal.
AT_TURN, AT_MARKING = -1, -2

# How many steps each RPC takes at most, so that most places of deeds are reached.
_STEPS: Mapping[str, int] = {STAGE: 16, PUBLISH: 8, UNPUBLISH: 4, UNSTAGE: 8, EXPAND: 3}
# Which commands each RPC runs, most likely first.
_TOOLS: Mapping[str, tuple[str, ...]] = {
    STAGE: ("blkid", "mkfs", "mount", "e2fsck", "grow", "umount"),
    PUBLISH: ("mount",),
    UNPUBLISH: ("umount",),
    UNSTAGE: ("umount",),
    EXPAND: ("grow",),
}
_GROWS_WITH = {"xfs": "xfs_growfs", "btrfs": "btrfs", "ext4": "resize2fs", "ext3": "resize2fs"}
TOOLS = ("blkid", "mkfs", "e2fsck", "mount", "umount", "resize2fs", "xfs_growfs", "btrfs")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFault:
    """What befalls the n-th run of a command that an RPC makes for a volume."""

    volume: int
    rpc: str
    tool: str
    run: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDeed:
    """What happens at the n-th step that an RPC takes for a volume; at 0, as the call is sent.

    `AT_TURN` is when a job may begin, and `AT_MARKING` when a disk is proven to be blank.
    """

    volume: int
    rpc: str
    step: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A volume's way from its attachment to its detachment.

    Attributes:
        late: At which stage, by ordinal, its disk appears; 0 for before all.
        impatient: After how many refusals the pod is deleted though it never ran, 0: never.
        deeds: What happens while it is published.
        swapped: Whether its link names another disk's device from the beginning.
        lost: What is done when its disk is lost: it comes back before or after it was unstaged.
        is_silent: Whether its disk doesn't tell its serial, for a while.
    """

    late: int = 0
    impatient: int = 0
    deeds: tuple[str, ...] = ()
    swapped: bool = False
    lost: str = "after"
    is_silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """A volume and what becomes of it.

    Attributes:
        filesystem: One of `FILESYSTEMS`, or `block`.
        origin: `new`, `static` (formatted by somebody), `copy` (of the volume before it),
            `never` (blank, and not to be formatted) or `foreign` (data without a signature).
        is_noise: Whether it reads as noise where nobody has written, and not as zeros (N19).
    """

    number: int
    filesystem: str
    origin: str
    sector_bytes: int
    rounds: tuple[Round, ...]
    is_noise: bool = False

    @property
    def can_be_staged(self) -> bool:
        """Whether there is anything that a stage may accept."""
        return self.filesystem == BLOCK or self.origin in ("new", "static", "copy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about one schedule.

    Attributes:
        with_serials: Whether disks say who they are, as virtio's do, or their links alone do.
        has_silent_neighbour: Whether a disk of somebody else's never tells its serial (S26).
    """

    seed: int
    with_serials: bool
    volumes: tuple[VolumePlan, ...]
    faults: tuple[CommandFault, ...]
    deeds: tuple[StepDeed, ...]
    has_silent_neighbour: bool = False


# What a pod's life may consist of. `force` pulls the disk out, as a forced detach does.
DEEDS = (
    "write", "stats", "health", "stage again", "publish again", "second pod", "expand", "restart",
    "stop", "force", "fail", "shut down", BUSY, "in use while staged", ELSEWHERE, "wrong type",
)  # fmt: skip


_ASKS = {EXPAND: "expand", STATS: "stats", HEALTH: "health"}

# What chance alone would bring about in one of a thousand schedules: each has one, in its turn.
_SELDOM = (
    *((kind, rpc) for kind in STEP_DEEDS for rpc in _ASKS),
    *((kind, tool) for kind in COMMAND_FAULTS for tool in dict.fromkeys(_GROWS_WITH.values())),
)
_NEED_SERIALS = (SWAPPED, UNLINKED)


def plan_of(seed: int) -> Plan:
    """Return what the seed decides."""
    chance = random.Random(seed)
    seldom, where = _SELDOM[seed % len(_SELDOM)]
    with_serials = chance.random() < 0.6 or seldom in _NEED_SERIALS
    volumes: list[VolumePlan] = []
    for number in range(chance.choice((1, 2, 2, 3))):
        volumes.append(_volume(chance, number, volumes))
    faults = tuple(_fault(chance, volumes) for _ in range(chance.choice((0, 1, 2, 3, 4, 6))))
    deeds = tuple(
        _deed(chance, volumes, with_serials) for _ in range(chance.choice((0, 0, 1, 2, 3)))
    )
    if where in RPCS:
        deeds += (_seldom_deed(len(volumes), where, seldom, seed),)
    else:
        faults += (CommandFault(volume=len(volumes), rpc=EXPAND, tool=where, run=1, kind=seldom),)
    volumes.append(_volume_for(len(volumes), where))
    asked = {(each.volume, each.rpc) for each in faults} | {
        (each.volume, each.rpc) for each in deeds
    }
    return Plan(
        seed=seed,
        with_serials=with_serials,
        volumes=tuple(_adding(seed, _asking(each, asked), deeds) for each in volumes),
        faults=faults,
        deeds=deeds,
    )


def _volume_for(number: int, where: str) -> VolumePlan:
    """Return a volume to which what is seldom can happen."""
    filesystem = next((each for each, tool in _GROWS_WITH.items() if tool == where), "ext4")
    return VolumePlan(
        number=number, filesystem=filesystem, origin="new", sector_bytes=4096, rounds=(Round(),)
    )


def _seldom_deed(volume: int, rpc: str, kind: str, seed: int) -> StepDeed:
    steps = _STEPS.get(rpc, 0)
    return StepDeed(volume=volume, rpc=rpc, step=steps and 1 + seed % steps, kind=kind)


def _asking(volume: VolumePlan, asked: set[tuple[int, str]]) -> VolumePlan:
    """Have the first pod make the calls to which something is to happen."""
    wanted = tuple(deed for rpc, deed in _ASKS.items() if (volume.number, rpc) in asked)
    first, *others = volume.rounds
    first = replace(first, impatient=0, deeds=(*wanted, *first.deeds)) if wanted else first
    return replace(volume, rounds=(first, *others))


def _adding(seed: int, volume: VolumePlan, deeds: tuple[StepDeed, ...]) -> VolumePlan:
    """Have some pods do what is seldom done, at the end of their lives."""
    chance = random.Random(f"{seed} {volume.number}")
    growing = random.Random(f"growing {seed} {volume.number}")
    befallen = {each.kind for each in deeds if each.volume == volume.number}
    rounds = []
    for each in volume.rounds:
        added = [deed for deed in (HELD, READER) if chance.random() < 0.15]
        # A disk that is gone while its file system is frozen is never given back by the kernel.
        safe = befallen.isdisjoint({PULLED, EXCHANGED, FAILS}) and not {
            "force", "fail", "shut down",
        } & {*each.deeds}  # fmt: skip
        if safe and chance.random() < 0.15:
            added.append(growing.choice((FROZEN, GROWING)))
        rounds.append(replace(each, deeds=(*each.deeds, *added)))
    return replace(volume, rounds=tuple(rounds))


def _volume(chance: random.Random, number: int, before: list[VolumePlan]) -> VolumePlan:
    origin = chance.choices(("new", "static", "copy", "never", "foreign"), (12, 3, 5, 1, 1))[0]
    filesystem = chance.choices((*FILESYSTEMS, BLOCK), (4, 3, 3, 1, 2))[0]
    sector_bytes = chance.choice((512, 4096, 4096))
    if origin == "copy" and before and before[-1].can_be_staged:
        filesystem, sector_bytes = before[-1].filesystem, before[-1].sector_bytes
    elif origin == "copy":
        origin = "new"
    return VolumePlan(
        number=number,
        filesystem=filesystem,
        origin=origin,
        sector_bytes=sector_bytes,
        rounds=tuple(_round(chance) for _ in range(chance.choice((1, 2, 2, 3)))),
    )


def _round(chance: random.Random) -> Round:
    return Round(
        late=chance.choice((0, 0, 0, 0, 1, 2)),
        impatient=chance.choice((0, 0, 0, 1, 2)),
        deeds=tuple(chance.sample(DEEDS, chance.randint(0, 4))),
        swapped=chance.random() < 0.15,
        lost=chance.choice(("before", "after")),
    )


def _fault(chance: random.Random, volumes: list[VolumePlan]) -> CommandFault:
    volume = chance.choice(volumes)
    rpc = chance.choices(tuple(_TOOLS), (6, 2, 2, 2, 1))[0]
    tool = chance.choice(_TOOLS[rpc])
    if tool == "grow":
        tool = _GROWS_WITH.get(volume.filesystem, "resize2fs")
    kind = chance.choice((*COMMAND_FAULTS, GARBAGE) if tool == "blkid" else COMMAND_FAULTS)
    return CommandFault(
        volume=volume.number, rpc=rpc, tool=tool, run=chance.choice((1, 1, 1, 1, 2, 3)), kind=kind
    )


def _deed(chance: random.Random, volumes: list[VolumePlan], with_serials: bool) -> StepDeed:
    fitting = [each for each in STEP_DEEDS if with_serials or each not in _NEED_SERIALS]
    kind = chance.choice((*fitting, KILLED))
    rpc = chance.choices((*_STEPS, STATS, HEALTH), (8, 4, 3, 4, 2, 1, 1))[0]
    return StepDeed(
        volume=chance.choice(volumes).number,
        rpc=rpc,
        step=chance.randint(1, _STEPS[rpc]) if rpc in _STEPS else 0,
        kind=kind,
    )
