"""Who uses a device of this host, for the message that says it was taken away from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def users_of(device: str) -> list[str]:
    """Return where the device is mounted, and the processes that have it open."""
    number = os.stat(device).st_rdev
    return list(dict.fromkeys([*_mounts(number), *_processes(number)]))


def _mounts(number: int) -> Iterator[str]:
    """Find mounts in any namespace; those of btrfs have a number of their own."""
    device = f"{os.major(number)}:{os.minor(number)}"
    for file in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):  # the process has ended
            for mount in map(str.split, file.read_text(errors="replace").splitlines()):
                if mount[2:3] == [device]:  # a slice, as foreign mounts can break a line
                    yield f"the mount {mount[4]}"


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
