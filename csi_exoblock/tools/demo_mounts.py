"""The mounts of the demo, which must all be gone before its disks are."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_TARGET = 4  # the field of a line that names where it is mounted


def mounts_below(folder: Path) -> list[Path]:
    """Return what is mounted below a folder, the last mount first."""
    targets = [Path(line.split()[_TARGET]) for line in _MOUNTS.read_text().splitlines()]
    return [target for target in reversed(targets) if folder in target.parents]


@contextmanager
def mounts_ended(folder: Path) -> Iterator[None]:
    """Unmount, after the block, what an interruption left mounted below a folder."""
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for target in mounts_below(folder):
            subprocess.run(["umount", str(target)], check=False)
