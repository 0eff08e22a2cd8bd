"""Block devices as the kernel's sysfs describes them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from csi_exoblock.host.exhaustion import refuse_exhausted

log = logging.getLogger(__name__)

# The unit of sizes in sysfs, whatever the size of the disk's own sectors.
_SYSFS_BLOCK_BYTES = 512
# No attribute of sysfs is longer. Source: Linux, Documentation/filesystems/sysfs.rst.
_ATTRIBUTE_BYTES = 4096


class DeviceNumber(NamedTuple):
    """The number by which the kernel knows a block device."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `major:minor` as sysfs and mountinfo write it."""
        major, _, minor = text.strip().partition(":")
        return cls(int(major), int(minor))

    @classmethod
    def of(cls, number: int) -> Self:
        """Split a number as `stat` returns it."""
        return cls(os.major(number), os.minor(number))

    def __str__(self) -> str:
        return f"{self.major}:{self.minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDevice:
    """A block device as sysfs describes it.

    Attributes:
        sequence: Differs between all disks that ever had the same number; `None` on a kernel that
            doesn't count them.
    """

    path: Path
    number: DeviceNumber
    size_bytes: int
    sector_bytes: int
    sequence: int | None = None

    @property
    def name(self) -> str:
        """The kernel's name for the device, as in the kernel's own messages."""
        return self.path.name


class BlockDevices:
    """Reads what the kernel tells of disks and partitions; asks no disk itself.

    Args:
        sysfs: Where sysfs is mounted.
        dev: The folder of the device nodes.
    """

    def __init__(self, *, sysfs: Path, dev: Path) -> None:
        self.folder = sysfs / "class" / "block"
        self._numbers = sysfs / "dev" / "block"
        self._rescan = sysfs / "bus" / "pci" / "rescan"
        self._dev = dev

    def describe(self, name: str) -> BlockDevice | None:
        """Return the device of this name, `None` if it vanishes or has no size yet."""
        block = self.folder / name
        number, size = _read(block / "dev"), _read(block / "size")
        sector = _read(block / "queue" / "logical_block_size")
        if sector is None:  # a partition's queue is its disk's, one folder up
            sector = _read(block.resolve().parent / "queue" / "logical_block_size")
        if number is None or sector is None or size in (None, "0"):
            return None
        sequence = _read(block / "diskseq")
        if sequence is None:  # a partition's sequence is its disk's, too
            sequence = _read(block.resolve().parent / "diskseq")
        return BlockDevice(
            path=self._dev / name,
            number=DeviceNumber.parse(number),
            size_bytes=int(size) * _SYSFS_BLOCK_BYTES,
            sector_bytes=int(sector),
            sequence=int(sequence) if sequence else None,
        )

    def is_there(self, number: DeviceNumber) -> bool:
        """Return whether a device has this number now."""
        return (self._numbers / str(number)).exists()

    def name_of(self, number: DeviceNumber) -> str:
        """Return the name of the device that has this number; that of nothing if none has."""
        return (self._numbers / str(number)).resolve().name

    def disk_of(self, number: DeviceNumber) -> str | None:
        """Return the name of the disk that the device with this number is, or is a part of."""
        link = f"{self._numbers}/{number}"
        try:
            folder, name = os.path.split(os.readlink(link))
        except OSError as error:
            refuse_exhausted(error)
            return None
        return os.path.basename(folder) if os.path.exists(f"{link}/partition") else name

    def is_partition(self, name: str) -> bool:
        """Return whether the device of this name is a part of a disk."""
        return (self.folder / name / "partition").exists()

    def partitions(self, disk: BlockDevice) -> list[str]:
        """Return the names of the disk's partitions, which are folders in the disk's own."""
        folder = self.folder / disk.name
        try:
            names = [name for name in os.listdir(folder) if name.startswith(disk.name)]
        except OSError as error:  # it vanishes
            refuse_exhausted(error)
            return []
        return [name for name in names if (folder / name / "partition").exists()]

    def attribute(self, disk: BlockDevice, partition: str, name: str) -> str | None:
        """Return an attribute of a disk's partition, `None` if that vanishes."""
        return _read(self.folder / disk.name / partition / name)

    def scan_pci(self) -> None:
        """Have the kernel look for devices that came without being noticed."""
        try:
            self._rescan.write_text("1")
        except OSError as error:
            log.warning("the PCI bus could not be scanned", extra={"error": str(error)})


def _read(path: Path) -> str | None:
    """Return an attribute's text, `None` if there is no such attribute.

    Raises:
        HostError: The host has no file or memory left.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(file, _ATTRIBUTE_BYTES).decode(errors="replace").strip()
        finally:
            os.close(file)
    except OSError as error:
        refuse_exhausted(error)
        return None
