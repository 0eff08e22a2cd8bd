"""The sizes of mounted file systems and of block devices, as the kernel knows them."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.superblocks import btrfs_device, superblock
from csi_exoblock.model import Filesystem

# Source: Linux, fs/xfs/libxfs/xfs_fs.h: _IOR('X', 100, struct xfs_fsop_geom_v1), 112 bytes; the
# size of a block comes first, the number of blocks after eight such words.
_XFS_IOC_FSGEOMETRY_V1 = 0x80705864
_XFS_GEOMETRY = struct.Struct("=I28xQ72x")

# Where the superblocks of ext, at 1 KiB, and of btrfs, 4 KiB at 64 KiB, have ended.
_SUPERBLOCKS_END = 68 * 1024

# Source: Linux, include/uapi/linux/fs.h: _IOR(0x12, 114, size_t)
_BLKGETSIZE64 = 0x80081272


def mounted_size_bytes(filesystem: Filesystem, path: Path, device: BlockDevice) -> int:
    """Return the size of the file system that is mounted at a path.

    Raises:
        HostError: The size can't be read.
    """
    try:
        match filesystem:
            case Filesystem.XFS:
                return _xfs_size_bytes(path)
            case Filesystem.EXT4 | Filesystem.EXT3 | Filesystem.BTRFS:
                return _recorded_size_bytes(filesystem, device)
    except OSError as error:
        raise HostError(f"the size of the file system at {path} can't be read: {error}") from error


def device_size_bytes(node: Path) -> int:
    """Return the size of a block device.

    Raises:
        OSError: It can't be opened.
    """
    file = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        (size_bytes,) = struct.unpack("=Q", fcntl.ioctl(file, _BLKGETSIZE64, bytes(8)))
    finally:
        os.close(file)
    return int(size_bytes)


def _xfs_size_bytes(path: Path) -> int:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(file, _XFS_IOC_FSGEOMETRY_V1, bytes(_XFS_GEOMETRY.size))
    finally:
        os.close(file)
    block_bytes, blocks = _XFS_GEOMETRY.unpack(answer)
    return int(block_bytes * blocks)


def btrfs_device_of(device: BlockDevice) -> int:
    """Return the number that the btrfs on a device gives the device.

    Raises:
        HostError: It can't be read.
    """
    try:
        return btrfs_device(_head(device))
    except OSError as error:
        raise HostError(f"device {device.path} can't be read: {error}") from error


def _recorded_size_bytes(filesystem: Filesystem, device: BlockDevice) -> int:
    found = superblock(filesystem, _head(device))
    if found is None:
        raise HostError(f"device {device.path} has no superblock of {filesystem}")
    return found.size_bytes


def _head(device: BlockDevice) -> bytes:
    # Read through the page cache, where a mounted file system keeps its superblock.
    file = os.open(device.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, _SUPERBLOCKS_END, 0)
    finally:
        os.close(file)
