"""The formats, checks and growths under way on this host, as its processes show them (D10)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# By name, because a check that a person runs on a volume's disk keeps its pod waiting as well;
# `host.commands.is_own_command` tells the driver's own commands from such.
_PROGRAMS = frozenset(
    {"mkfs.ext4", "mkfs.ext3", "mke2fs", "mkfs.xfs", "mkfs.btrfs", "e2fsck", "resize2fs"}
    | {"xfs_growfs", "btrfs"}
)
# Source: proc_pid_stat(5), field 22, of those behind the program's name in parentheses.
_START_TIME = 22 - 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A program that works on a disk."""

    pid: int
    program: str
    seconds: float


def long_work(proc: Path) -> tuple[Work, ...]:
    """Return the programs under way, the oldest first.

    Args:
        proc: Where the host's processes are visible.
    """
    uptime_seconds = float((proc / "uptime").read_text().split()[0])
    return tuple(sorted(_found(proc, uptime_seconds), key=lambda work: -work.seconds))


def _found(proc: Path, uptime_seconds: float) -> Iterator[Work]:
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            # A name is any bytes, and the kernel cuts it after 15, also within a letter.
            text = (folder / "stat").read_text(errors="replace")
        except OSError:  # it has ended
            continue
        # The name can contain spaces and parentheses itself.
        program = text[text.index("(") + 1 : text.rindex(")")]
        if program in _PROGRAMS:
            ticks = int(text[text.rindex(")") + 2 :].split()[_START_TIME])
            started_seconds = ticks / os.sysconf("SC_CLK_TCK")
            yield Work(
                pid=int(folder.name), program=program, seconds=uptime_seconds - started_seconds
            )
