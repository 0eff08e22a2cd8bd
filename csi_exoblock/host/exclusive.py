"""Open a disk that nobody else uses: to read it past every cache, or to wipe a signature."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from csi_exoblock.errors import HostError, OperationPending
from csi_exoblock.host.devices import BlockDevice, DeviceNumber, Devices
from csi_exoblock.model import VolumeId


@contextmanager
def alone_with(device: BlockDevice, *, writing: bool = False) -> Iterator[int]:
    """Open a device that nobody has mounted or claimed, for direct access inside the block.

    Raises:
        OperationPending: It is in use: mounted, perhaps in another mount namespace, or worked on by
            a mkfs or fsck that outlived an earlier run of the driver (D10).
        HostError: It cannot be opened, or another disk has taken its place.
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
        os.close(file)


@contextmanager
def holding(device: BlockDevice) -> Iterator[int]:
    """Keep the device's name and number from going to another disk; yields its open file.

    A disk may be pulled out at any time, but the kernel gives its name away only when nobody has it
    open any more: until then a command that opens it by name finds this disk or none.

    Raises:
        HostError: It cannot be opened, or another disk has taken its place.
    """
    file = open_device(device)
    try:
        yield file
    finally:
        os.close(file)


def open_device(device: BlockDevice) -> int:
    """Open a device for reading, beside its other users.

    Raises:
        HostError: It cannot be opened, or another disk has taken its place.
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
    """Prove that the device is still the volume's, and keep it so for the block; yields its file.

    Not opened exclusively: mount and e2fsck would find the device busy.

    Raises:
        HostError: The disk is gone, or another one has taken its place.
        WrongState: Two disks claim to be this volume.
    """
    with holding(device) as file:
        prove_unchanged(devices, volume_id, device)
        yield file


def prove_unchanged(devices: Devices, volume_id: VolumeId, device: BlockDevice) -> None:
    """Return if a device that is held open is still the volume's.

    What a call has found before it waited, for its turn or for anything else, proves nothing any
    more: another disk may have come to the same name (D2).

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
    """Tell whether anybody, in any mount namespace, has mounted or claimed the device.

    Raises:
        HostError: It cannot be opened.
    """
    try:
        with alone_with(device):
            return False
    except OperationPending:
        return True


def read_direct(file: int, offset: int, length: int) -> mmap.mmap:
    """Read from the disk, not from the page cache.

    The answer is memory of its own, which goes back to the kernel with the last reference: as
    bytes, megabytes of it would stay with the allocator of each thread that ever read a disk.

    Args:
        offset: In bytes, a multiple of the sector size like the length.

    Raises:
        HostError: The disk doesn't give all of it.
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
    """Overwrite the first page of a disk, and with it the signature of an unfinished xfs.

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
