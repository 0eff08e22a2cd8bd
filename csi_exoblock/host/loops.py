"""Ask a loop device what it is made of."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from csi_exoblock.host.devices import DeviceNumber

# Source: Linux, include/uapi/linux/loop.h: which device the backing file is on, its inode, and
# which device it is itself.
_GET_STATUS64 = 0x4C05
_INFO = struct.Struct("=QQQ208x")


def backing_of(loop: Path) -> tuple[DeviceNumber, ...]:
    """Return the numbers of the device that a loop device's file is, and of the one it is on."""
    try:
        file = os.open(loop, os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(file, _GET_STATUS64, bytes(_INFO.size))
        finally:
            os.close(file)
    except OSError:  # it has no file any more
        return ()
    on, _, itself = _INFO.unpack(answer)
    return tuple(map(DeviceNumber.of, (on, itself)))
