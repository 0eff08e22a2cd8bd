"""Who uses a device of this host, for the message that says it was taken away from them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def users_of(device: str) -> list[str]:
    """Return where the device is mounted, and the processes that have it open."""
    number = os.stat(device).st_rdev
    return list(dict.fromkeys([*_mounts(number), *_processes(number)]))


def mount_points(number: int, mountinfo: Path) -> Iterator[str]:
    """Yield where a process sees the device of this number mounted.

    Raises:
        OSError: The process has ended.
    """
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in os.fsdecode(mountinfo.read_bytes()).split("\n"):
        fields = line.split(" ")
        if wanted in fields[2:3]:  # a slice, as foreign mounts can break a line into short ones
            yield re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])


def _mounts(number: int) -> Iterator[str]:
    """Find mounts in any namespace; those of btrfs have a number of their own."""
    for file in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):  # the process has ended
            yield from (f"the mount {point}" for point in mount_points(number, file))


def _processes(number: int) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if any(_is(file, number) for file in (process / "fd").iterdir()):
                yield f"{(process / 'comm').read_text().strip()} ({process.name})"


def _is(file: Path, number: int) -> bool:
    try:
        return file.stat().st_rdev == number
    except OSError:  # it was closed
        return False
