"""Loop devices, and the devices that they are made of."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from csi_exoblock.host.block_devices import DeviceNumber

# Source: Linux, include/uapi/linux/loop.h: the device that holds the file, the file's inode, and
# the device that the file is itself.
_GET_STATUS64 = 0x4C05
_INFO = struct.Struct("=QQQ208x")


def backing_of(loop: Path) -> tuple[DeviceNumber, ...]:
    """Return the numbers of the device that holds a loop device's file, and that the file is."""
    try:
        file = os.open(loop, os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(file, _GET_STATUS64, bytes(_INFO.size))
        finally:
            os.close(file)
    except OSError:  # it has lost its file meanwhile
        return ()
    on, _, itself = _INFO.unpack(answer)
    return tuple(map(DeviceNumber.of, (on, itself)))
