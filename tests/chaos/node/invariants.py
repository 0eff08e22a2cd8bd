"""What must hold after every answer and at the end, read from the kernel and from the commands."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from tests.chaos.node import plan, table
from tests.chaos.node.volumes import FLAGS, Volume
from tests.chaos.node.world import Refused, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer, and what it was about.

    Attributes:
        target: The path that was published or unpublished, or that is unstaged.
        filesystem: What a stage asked for, if not what the volume has.
        first: Whether it was not published there before.
    """

    volume: Volume
    method: str
    refused: Refused | None
    target: pathlib.Path | None
    filesystem: str = ""
    first: bool = False


def check_answer(world: World, seen: Seen) -> None:
    """Tell the story what doesn't hold after an answer."""
    volume, mounts = seen.volume, table.mounted_below(world.folder)
    mine = table.of_devices(mounts, world.host.numbers_of(volume.disk))
    staged = table.at(mounts, volume.staging)
    for path in (volume.staging, *volume.targets):
        if len(table.at(mounts, path)) > 1:
            world.story.breach("mounts don't multiply", f"{table.at(mounts, path)}")
    if seen.refused is not None:
        if seen.refused.is_final and seen.method == plan.STAGE and (mine or staged):
            what = f"{seen.refused.code.name}, and {mine} {staged}"
            world.story.breach("no mount survives a final error of a stage", what)
        left = table.at(mounts, seen.target) if seen.first and seen.target else []
        if seen.refused.is_final and left:
            what = f"{seen.refused.code.name}, and {left}"
            world.story.breach("no mount survives a final error of a first publish", what)
        return
    match seen.method:
        case plan.STAGE if not (volume.is_block or seen.filesystem):
            _check_shown(world, seen, volume.staging, mounts)
        case plan.PUBLISH if seen.target:
            _check_shown(world, seen, seen.target, mounts)
        case plan.UNPUBLISH if seen.target:
            _check_gone(world, seen.target, mounts)
            _check_not_in_use(world, seen)
        case plan.UNSTAGE:
            if mine or staged:
                world.story.breach("no mount survives an unstage", f"{mine} {staged}")
            _check_not_in_use(world, seen)


def check_commands(world: World) -> None:
    """Tell the story of each mkfs on a disk that held something, and of checks of others'."""
    holds: dict[str, str] = {}
    for line in world.tools.lines():
        if line.what == "holds":
            holds[line.disk] = line.word
        elif line.tool == "e2fsck" and line.what == "began" and line.disk != line.volume:
            world.story.breach("a check is of the volume's own disk", f"{line}")
        elif line.tool == "mkfs" and line.what == "began" and line.disk in holds:
            world.story.breach("what holds data is never formatted", f"{line}: {holds[line.disk]}")
        elif line.tool == "mkfs" and line.what == "ended" and line.word == "0":
            holds[line.disk] = "a file system of the driver"


def _check_shown(world: World, seen: Seen, path: pathlib.Path, mounts: list[table.Mounted]) -> None:
    """Check that one mount is there, of the volume's own disk as it is plugged in now."""
    volume, layers = seen.volume, table.at(mounts, path)
    if volume.disk.lost:  # it may have gone while the answer was on its way
        return
    if [each.loop for each in layers] != [volume.disk.number]:
        what = f"loop{volume.disk.number} of {volume.plan} is to be at {path}, where is {layers}"
        world.story.breach("a volume is where it is said to be, once", what)
    elif layers[0].writable is (path.parent.name == plan.READER):
        world.story.breach("what is handed out for writing is writable, else not", f"{layers}")
    elif not (volume.is_block or layers[0].options >= {*FLAGS}):
        world.story.breach("the flags of a volume hold at its targets", f"{layers}")


def _check_gone(world: World, path: pathlib.Path, mounts: list[table.Mounted]) -> None:
    if table.at(mounts, path) or path.exists():
        world.story.breach("an unpublished path is gone", f"{path}: {table.at(mounts, path)}")


def _check_not_in_use(world: World, seen: Seen) -> None:
    gone = seen.volume.disk.lost and seen.volume.kept_elsewhere  # nobody can tell any more (D4)
    if seen.target in seen.volume.guests and not gone:
        world.story.breach("nothing is taken from who uses it", f"{seen.target}")
