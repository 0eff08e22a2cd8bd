"""NodeGetVolumeStats: the use of a volume's space, read without hanging on its disk (S16)."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, NotFound
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.mounts import Mount, Mounts
from csi_exoblock.host.sizes import device_size_bytes
from csi_exoblock.host.workers import Workers
from csi_exoblock.model import VolumeId


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """The use of bytes or inodes.

    Attributes:
        used: `None` if only the total is known, as for a raw device.
        available: The amount that a pod can still use; less than the rest if some is reserved for
            root.
    """

    unit: Literal["bytes", "inodes"]
    total: int
    used: int | None = None
    available: int | None = None


class Usage:
    """Measures volumes without taking their lock."""

    def __init__(self, *, devices: Devices, mounts: Mounts, workers: Workers[_Measured]) -> None:
        self._devices = devices
        self._mounts = mounts
        self._workers = workers

    def statistics(
        self, volume_id: VolumeId, volume_path: Path, deadline: Deadline
    ) -> tuple[UsageRow, ...]:
        """Return bytes and inodes of a mounted file system, or the size of a raw device.

        Raises:
            NotFound: The path doesn't show this volume.
            HostError: The disk is gone, or the file system doesn't answer.
            DeadlineExceeded: The deadline came first.
        """
        deadline.check()
        layers = self._mounts.at(volume_path)
        if not layers:
            raise NotFound(f"volume {volume_id}: nothing is mounted at {volume_path}")
        mount = layers[-1]
        if mount.device is None or not self._devices.is_volume(mount.device, volume_id.uuid):
            self._devices.present(volume_id.uuid)
            raise NotFound(f"volume {volume_id}: {volume_path} shows device {mount.device}")
        try:
            measured = self._workers.run(
                f"volume {volume_id}", lambda: _measure(volume_path, is_block=mount.is_block)
            )
        except OSError as error:
            raise HostError(f"volume {volume_id}: {volume_path}: {error.strerror}") from error
        # If it was unmounted meanwhile, the path was a folder of the node's own disk.
        if not self._is_of(mount, measured):
            raise NotFound(f"volume {volume_id}: it was unmounted from {volume_path} meanwhile")
        return measured.rows

    def _is_of(self, mount: Mount, measured: _Measured) -> bool:
        """Return whether what was measured is on the device of a mount.

        A file on a btrfs has an invented number; the table of mounts knows which device it is.
        """
        if measured.number == (mount.device if mount.is_block else mount.superblock):
            return True
        return mount.device is not None and self._mounts.shows(measured.mount_id, mount.device)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was measured.

    Attributes:
        number: The device of its file system; of a device node, its own.
    """

    number: DeviceNumber
    mount_id: str
    rows: tuple[UsageRow, ...]


def _measure(path: Path, *, is_block: bool) -> _Measured:
    """Measure the volume at a path, and tell what was measured."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rows = _device_usage(file) if is_block else _file_system_usage(file)
        status = os.fstat(file)
        number = DeviceNumber.of(status.st_rdev if is_block else status.st_dev)
        return _Measured(number, _mount_id(file), rows)
    finally:
        os.close(file)


def _mount_id(file: int) -> str:
    with open(f"/proc/self/fdinfo/{file}", encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name == "mnt_id":
                return value.strip()
    raise OSError(errno.ENOSYS, "the kernel doesn't tell the mount of an open file")


def _device_usage(file: int) -> tuple[UsageRow, ...]:
    return (UsageRow(unit="bytes", total=device_size_bytes(Path(f"/proc/self/fd/{file}"))),)


def _file_system_usage(file: int) -> tuple[UsageRow, ...]:
    found = os.statvfs(file)
    rows = [
        UsageRow(
            unit="bytes",
            total=found.f_blocks * found.f_frsize,
            used=(found.f_blocks - found.f_bfree) * found.f_frsize,
            available=found.f_bavail * found.f_frsize,
        )
    ]
    if found.f_files:  # btrfs doesn't count them
        rows.append(
            UsageRow(
                unit="inodes",
                total=found.f_files,
                used=found.f_files - found.f_ffree,
                available=found.f_favail,
            )
        )
    return tuple(rows)
