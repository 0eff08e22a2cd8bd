"""Make a whole block device read-only, or writable again (F15)."""

from __future__ import annotations

import fcntl
import os
import struct

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice

# Source: Linux, include/uapi/linux/fs.h: _IO(0x12, 93) and _IO(0x12, 94), both with a C int.
_BLKROSET = 0x125D
_BLKROGET = 0x125E


def is_read_only(device: BlockDevice) -> bool:
    """Return whether the device refuses writes.

    Raises:
        HostError: It can't be asked.
    """
    return _call(device, _BLKROGET, 0) != 0


def set_read_only(device: BlockDevice, *, read_only: bool) -> None:
    """Make the device refuse or accept writes, for every process that has it open.

    Raises:
        HostError: It can't be set.
    """
    _call(device, _BLKROSET, int(read_only))


def _call(device: BlockDevice, request: int, value: int) -> int:
    try:
        file = os.open(device.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(file, request, struct.pack("=i", value))
        finally:
            os.close(file)
    except OSError as error:
        raise HostError(f"device {device.path}: {error.strerror}") from error
    return int(struct.unpack("=i", answer)[0])
