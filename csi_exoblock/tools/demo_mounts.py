"""The mounts of the demo: all of them must be gone before its disks are removed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.tools.demo_processes import DemoFailed
from csi_exoblock.tools.demo_signals import ignore_signals
from csi_exoblock.tools.demo_timing import POLL_SECONDS, UNMOUNT_SECONDS

_MOUNTS = Path("/proc/self/mountinfo")
_TARGET = 4  # the field of a line that contains the mount point


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points below a folder, the last mount first."""
    lines = (line.split(" ") for line in os.fsdecode(_MOUNTS.read_bytes()).split("\n"))
    # Some lines are broken in two: 9p escapes nothing in its options.
    targets = [Path(_unescape(line[_TARGET])) for line in lines if len(line) > _TARGET]
    return [target for target in reversed(targets) if folder in target.parents]


@contextmanager
def mounts_ended(folder: Path) -> Iterator[None]:
    """After the block, unmount everything that is still mounted below a folder."""
    try:
        yield
    finally:
        ignore_signals()
        for target in mounts_below(folder):
            _unmount(target)


def _unmount(target: Path) -> None:
    """Unmount, and wait for programs that still have a file open there.

    The simulator is one while it takes a snapshot: it opens the root folder to freeze the file
    system.

    Raises:
        DemoFailed: The file system stays busy.
    """
    deadline = Deadline(UNMOUNT_SECONDS)
    while True:
        ran = subprocess.run(["umount", str(target)], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            return
        if not deadline.remaining():
            raise DemoFailed(f"{target} is still mounted: {ran.stderr.strip()}")
        deadline.wait(POLL_SECONDS)


def _unescape(text: str) -> str:
    """Return a path without mountinfo's escapes, such as `\\040` for a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
