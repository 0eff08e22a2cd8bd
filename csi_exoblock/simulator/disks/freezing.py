"""Hold a file system still while its disk is copied.

A copy of a file that is being written mixes several moments, a content that the disk never had: 1
of 20 copies of a busy ext4 was damaged (2026-11-24). A real cloud copies one moment. Freezing the
file system gives the simulator's copy the same property.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from csi_exoblock.simulator.disks.users import mount_points

# Source: linux/fs.h, _IOWR('X', 119, int) and _IOWR('X', 120, int).
_FIFREEZE: Final = 0xC0045877
_FITHAW: Final = 0xC0045878


@contextmanager
def frozen(device: str) -> Iterator[None]:
    """Freeze the file system on a block device, so that it writes nothing during the block.

    Do nothing if this process cannot see the mount, or if the file system cannot be frozen.
    """
    with ExitStack() as stack:
        number = os.stat(device).st_rdev
        mount_point = next(mount_points(number, Path("/proc/self/mountinfo")), None)
        if mount_point is not None:
            _freeze(mount_point, number, stack)
        yield


def _freeze(mount_point: str, number: int, stack: ExitStack) -> None:
    try:
        root = os.open(mount_point, os.O_RDONLY)
    except OSError:
        return
    stack.callback(os.close, root)
    if os.fstat(root).st_dev != number:  # unmounted meanwhile: the host's own would be frozen
        return
    try:
        fcntl.ioctl(root, _FIFREEZE, 0)
    except OSError:
        return
    stack.callback(fcntl.ioctl, root, _FITHAW, 0)
