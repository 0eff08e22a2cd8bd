"""Exclusive access to a disk: to read it past every cache, or to wipe a signature."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from csi_exoblock.errors import HostError, OperationPending
from csi_exoblock.host.block_devices import BlockDevice, DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.starts import close
from csi_exoblock.model import VolumeId


@contextmanager
def alone_with(device: BlockDevice, *, writing: bool = False) -> Iterator[int]:
    """Open a device exclusively, for direct access inside the block.

    Raises:
        OperationPending: It is in use: mounted, perhaps in another mount namespace, or worked on by
            an mkfs or fsck that outlived an earlier run of the driver (D10).
        HostError: It can't be opened, or another disk has taken its place.
    """
    access = os.O_RDWR if writing else os.O_RDONLY
    try:
        file = os.open(device.path, access | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise OperationPending(f"device {device.path} is in use; retry") from error
        raise HostError(f"device {device.path} can't be opened: {error.strerror}") from error
    try:
        _require(device, file)
        yield file
    finally:
        close(file)


@contextmanager
def holding(device: BlockDevice) -> Iterator[int]:
    """Keep the device's name and number from going to another disk; yield its open file.

    A disk can be pulled out at any time, but the kernel gives its name to another one only when no
    process has it open: until then a command that opens it by name finds this disk or none.

    Raises:
        HostError: It can't be opened, or another disk has taken its place.
    """
    file = open_device(device)
    try:
        yield file
    finally:
        os.close(file)


def open_device(device: BlockDevice) -> int:
    """Open a device for reading, beside its other users.

    Raises:
        HostError: It can't be opened, or another disk has taken its place.
    """
    try:
        file = os.open(device.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"device {device.path} can't be opened: {error.strerror}") from error
    try:
        _require(device, file)
    except BaseException:
        os.close(file)
        raise
    return file


@contextmanager
def holding_volume(devices: Devices, volume_id: VolumeId, device: BlockDevice) -> Iterator[int]:
    """Prove that the device is the volume's, and keep it so inside the block; yield its open file.

    It isn't opened exclusively: mount and e2fsck would find it busy.

    Raises:
        HostError: The disk is gone, or another one has taken its place.
        WrongState: Two disks claim to be this volume.
    """
    with holding(device) as file:
        prove_unchanged(devices, volume_id, device)
        yield file


def prove_unchanged(devices: Devices, volume_id: VolumeId, device: BlockDevice) -> None:
    """Raise HostError unless a device that is held open is still the volume's.

    A device that a call found before it waited proves nothing after the wait: another disk can have
    come to the same name (D2).

    Raises:
        HostError: The disk is gone, or another one has taken its place.
        WrongState: Two disks claim to be this volume.
    """
    disk, now = devices.present(volume_id.uuid), devices.at(device.number)
    if now.number not in devices.numbers(disk) or now.sequence != device.sequence:
        raise HostError(
            f"volume {volume_id}: its disk {device.path} was replaced meanwhile; nothing was "
            "done with the new one; retry"
        )


def is_in_use(device: BlockDevice) -> bool:
    """Return whether the device is mounted or claimed in any mount namespace.

    Raises:
        HostError: It can't be opened.
    """
    try:
        with alone_with(device):
            return False
    except OperationPending:
        return True


def read_direct(file: int, offset: int, length: int) -> mmap.mmap:
    """Read from the disk, not from the page cache.

    Returns a mapping, whose memory goes back to the kernel with the last reference. Megabytes of
    `bytes` would stay with the allocator of each thread that ever read a disk.

    Args:
        offset: In bytes, a multiple of the sector size like the length.

    Raises:
        HostError: The read failed, or was short.
    """
    # Aligned to a page, as direct reads demand.
    buffer = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        count = os.preadv(file, [buffer], offset)
    except OSError as error:
        raise HostError(f"reading {length} bytes at {offset}: {error.strerror}") from error
    if count != length:
        raise HostError(f"reading {length} bytes at {offset}: only {count} were read")
    return buffer


def wipe_start(device: BlockDevice) -> None:
    """Overwrite the first page of a disk with zeros, and so the signature of an unfinished xfs.

    Raises:
        OperationPending: The device is in use.
        HostError: It can't be written.
    """
    with (
        alone_with(device, writing=True) as file,
        mmap.mmap(-1, mmap.PAGESIZE) as zeros,
    ):
        try:
            os.pwritev(file, [zeros], 0)
            os.fsync(file)
        except OSError as error:
            raise HostError(f"{device.path}: wiping its start: {error.strerror}") from error


def _require(device: BlockDevice, file: int) -> None:
    status = os.fstat(file)
    if not stat.S_ISBLK(status.st_mode) or DeviceNumber.of(status.st_rdev) != device.number:
        raise HostError(f"{device.path} is no longer the device {device.number}; retry")
