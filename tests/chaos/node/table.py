"""What is mounted, read by the harness itself and from the kernel's table alone."""

from __future__ import annotations

import pathlib
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mount, or a device node that is bound somewhere.

    Attributes:
        loop: Number of the loop device that is seen there, -1 for anything else.
        options: Of this mount alone.
    """

    target: str
    root: str
    filesystem: str
    loop: int
    writable: bool
    options: frozenset[str]


def mounted_below(folder: pathlib.Path) -> list[Mounted]:
    """Return all mounts in a folder, the lower ones of several at one path first.

    Others use this machine too, and the same loop devices at other times.
    """
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [_parse(line) for line in lines if line.split(" ")[4].startswith(f"{folder}/")]


def of_devices(table: list[Mounted], numbers: Collection[int]) -> list[str]:
    """Return where any of these loop devices is seen."""
    return [each.target for each in table if each.loop in numbers]


def at(table: list[Mounted], path: pathlib.Path) -> list[Mounted]:
    """Return what is mounted exactly there."""
    return [each for each in table if each.target == str(path)]


def _parse(line: str) -> Mounted:
    fields, _, rest = line.partition(" - ")
    _, _, number, root, target, options, *_ = fields.split(" ")
    filesystem, source, super_options = rest.split(" ")
    loop = -1
    if filesystem in ("devtmpfs", "tmpfs") and root.startswith("/loop"):
        loop = int(root.removeprefix("/loop"))  # the node itself
    elif number.startswith("7:"):
        loop = int(number.removeprefix("7:"))
    elif source.startswith("/dev/loop"):
        loop = int(source.removeprefix("/dev/loop"))  # btrfs has a number of its own
    writable = "rw" in options.split(",") and "rw" in super_options.split(",")
    return Mounted(target, root, filesystem, loop, writable, frozenset(options.split(",")))
