"""Disks that can be pulled out, fail and come back: loop devices on files in memory.

A file in memory can be sealed, and from then on its loop device answers every read and every write
with EIO, also to a file system that is mounted. A file on a disk can only be cut short, after which
writes make it longer again, and what was never written reads as zeros: a blank disk, which lies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import struct
import threading
import time
import uuid

MIB = 1024**2
SERIAL_CHARACTERS = 20

# Source: Linux, include/uapi/linux/loop.h and fcntl.h.
_LOOP_MAJOR = 7
_GET_FREE, _CONFIGURE, _CLEAR, _SET_CAPACITY = 0x4C82, 0x4C0A, 0x4C01, 0x4C07
_CONFIG = struct.Struct("=II232x64x")
_ADD_SEALS, _SEAL_GROW, _SEAL_WRITE = 1033, 0x4, 0x8
_PREFIX = "vd"
_PIECE = bytes(MIB)
_ATTEMPTS = 1000
_A_MOMENT_SECONDS = 0.02
# What is read of a disk to see whether it is blank (D1).
_HEAD_BYTES, _TAIL_BYTES = 2 * MIB, MIB


class Host:
    """What a node sees of its disks: sysfs, the links that udev makes, and who is which device.

    Loop devices have no serials, so here each has another name, like virtio's disks.

    Attributes:
        sysfs: Shows the disks of one schedule and no other, each with or without a serial.
        nodes: The folder of their device nodes.
        links: The folder of the links that udev makes.
        with_serials: Whether the disks say their serials, as virtio's do.
    """

    def __init__(self, folder: pathlib.Path, *, with_serials: bool) -> None:
        self.with_serials = with_serials
        self.links = folder / "by-id"
        self.sysfs = folder / "sys"
        self.nodes = folder / "dev"
        self._owners = folder / "disks"
        self._blocks = self.sysfs / "class" / "block"
        self._numbers = self.sysfs / "dev" / "block"
        for each in (self.links, self.nodes, self._owners, self._blocks, self._numbers):
            each.mkdir(parents=True)

    def own(self, number: int, disk: Disk) -> None:
        """Note which disk a device is, for the commands that write down what they work on."""
        (self._owners / _name(number)).write_text(f"{disk.uuid}\n")

    def numbers_of(self, disk: Disk) -> list[int]:
        """Return the devices that a disk is or was, as far as no other has taken them since."""
        return [
            int(each.name.removeprefix(_PREFIX))
            for each in self._owners.iterdir()
            if each.read_text().strip() == str(disk.uuid)
        ]

    def show(self, number: int, disk: Disk) -> None:
        """Have the device appear, with its link."""
        name = _name(number)
        node = self.nodes / name
        if not node.is_symlink():
            node.symlink_to(f"/dev/loop{number}")
        made = self._owners.parent / f"new-{name}"
        made.mkdir()
        for attribute in ("dev", "size", "queue", "diskseq"):
            (made / attribute).symlink_to(f"/sys/class/block/loop{number}/{attribute}")
        if self.with_serials and disk.is_silent:
            os.mkfifo(made / "serial")
        elif self.with_serials:
            (made / "serial").write_text(disk.serial)
        made.rename(self._blocks / name)
        (self._numbers / f"{_LOOP_MAJOR}:{number}").symlink_to(self._blocks / name)
        self.link(disk, number)

    def speak(self, number: int, disk: Disk) -> None:
        """Have a silent disk tell its serial, also to those that have asked already."""
        serial = self._blocks / _name(number) / "serial"
        if not serial.is_fifo():
            return
        asked = self._owners.parent / f"asked-{uuid.uuid4()}"
        told = self._owners.parent / f"told-{uuid.uuid4()}"
        told.write_text(disk.serial)
        asked.hardlink_to(serial)
        told.rename(serial)
        for _ in range(2):  # who had found the file, but not opened it yet, comes a moment later
            with contextlib.suppress(OSError):  # nobody has asked
                file = os.open(asked, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    os.write(file, disk.serial.encode())
                finally:
                    os.close(file)
            time.sleep(_A_MOMENT_SECONDS)

    def hide(self, number: int, disk: Disk) -> None:
        """Have the device disappear."""
        name = _name(number)
        self.unlink(disk)
        (self._numbers / f"{_LOOP_MAJOR}:{number}").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            gone = (self._blocks / name).rename(self._owners.parent / f"gone-{uuid.uuid4()}")
            for each in gone.iterdir():
                each.unlink()
            gone.rmdir()

    def link(self, disk: Disk, number: int) -> None:
        """Have a disk's link name a device, perhaps another disk's."""
        made = self.links / f".{uuid.uuid4()}"
        made.symlink_to(self.nodes / _name(number))
        made.rename(self.links / f"virtio-{disk.serial}")

    def unlink(self, disk: Disk) -> None:
        """Remove a disk's link."""
        (self.links / f"virtio-{disk.serial}").unlink(missing_ok=True)


class Disk:
    """What a volume holds, and as which device its node sees it, if it does.

    Attributes:
        number: The device, `None` while it is detached.
        lost: Whether it was pulled out or fails, since it was last plugged in.
        is_silent: Whether it doesn't tell its serial.
        is_noise: Whether it reads as noise where nobody has written.
    """

    def __init__(self, host: Host, *, mib: int, sector_bytes: int) -> None:
        self.uuid = uuid.uuid4()
        self.serial = str(self.uuid)[:SERIAL_CHARACTERS]
        self.size_bytes = mib * MIB
        self.sector_bytes = sector_bytes
        self.number: int | None = None
        self.lost = False
        self.is_silent = False
        self.is_noise = False
        self._visible = False
        self._host = host
        self._lock = threading.RLock()
        self._content = _new_content(self.size_bytes)

    @property
    def path(self) -> pathlib.Path:
        """Its device node."""
        return pathlib.Path(f"/dev/loop{self.number}")

    def plug(
        self, *, visible: bool = True, wanted: int | None = None, silent: bool = False
    ) -> None:
        """Attach it as a device that nobody uses; first detach what is left of it.

        Args:
            wanted: Its number, if the kernel has that free.
            silent: Whether it doesn't tell its serial until `speak`.
        """
        with self._lock:
            self.unplug()
            self.lost = False
            self.is_silent = silent
            self.number = _attach(self._content, self.sector_bytes, wanted)
            self._host.own(self.number, self)
            if visible:
                self.appear()

    def appear(self) -> None:
        """Be seen, if it is there and isn't seen yet."""
        with self._lock:
            if self.number is not None and not self.lost and not self._visible:
                self._host.show(self.number, self)
                self._visible = True

    def speak(self) -> None:
        """Tell its serial, if it has not until now."""
        with self._lock:
            if self.is_silent and self.number is not None and self._visible:
                self._host.speak(self.number, self)
            self.is_silent = False

    def scramble(self) -> None:
        """Read as noise, as a disk does that is encrypted below."""
        self.is_noise = True
        self.write(os.urandom(_HEAD_BYTES))
        self.write(os.urandom(_TAIL_BYTES), offset=self.size_bytes - _TAIL_BYTES)

    def _disappear(self) -> None:
        if self.number is not None and self._visible:
            self._host.hide(self.number, self)
            self._visible = False

    def unplug(self) -> None:
        """Detach it; what is still mounted of it stays until it is unmounted, and then goes."""
        with self._lock:
            if self.number is None:
                return
            self._disappear()
            with open(self.path, "rb") as device, contextlib.suppress(OSError):
                fcntl.ioctl(device, _CLEAR)
            self.number = None

    def vanish(self) -> None:
        """Be pulled out at once, mounted or not."""
        with self._lock:
            if self.number is not None and not self.lost:
                self._disappear()
                self.fail()

    def make_way(self) -> int | None:
        """Be pulled out, and return the number that it had."""
        with self._lock:
            number = self.number
            self.vanish()
            self.unplug()
            return number

    def fail(self) -> None:
        """Answer every read and write with EIO from now on; it can be seen as ever."""
        with self._lock:
            if self.number is not None and not self.lost:
                self.lost = True
                kept = _seal(self._content, self.size_bytes)
                os.close(self._content)
                self._content = kept

    def grow(self, mib: int) -> None:
        """Become larger, as a resize in the cloud makes it."""
        with self._lock:
            self.size_bytes += mib * MIB
            os.ftruncate(self._content, self.size_bytes)
            if self.is_noise and not self.lost:
                self.write(os.urandom(_TAIL_BYTES), offset=self.size_bytes - _TAIL_BYTES)
            if self.number is not None and not self.lost:
                with open(self.path, "rb") as device:
                    fcntl.ioctl(device, _SET_CAPACITY)

    def copy_to(self, other: Disk) -> None:
        """Make another disk, which is detached, the same bit by bit, as a restore does."""
        with self._lock:
            other.size_bytes = self.size_bytes
            os.ftruncate(other._content, self.size_bytes)
            _copy(self._content, other._content)

    def write(self, data: bytes, *, offset: int = 0) -> None:
        """Put something on it that is not of the driver's making."""
        os.pwrite(self._content, data, offset)

    def read(self, offset: int, length: int) -> bytes:
        """Return what it holds there."""
        return os.pread(self._content, length, offset)

    def close(self) -> None:
        """Detach it for good."""
        self.unplug()
        os.close(self._content)


def _name(number: int) -> str:
    return f"{_PREFIX}{number}"


def _new_content(size_bytes: int) -> int:
    # mkfs.btrfs takes loop devices on files of one name for one device.
    file = os.memfd_create(f"chaos-{uuid.uuid4()}", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(file, size_bytes)
    return file


def _seal(content: int, size_bytes: int) -> int:
    """Have everything fail that is tried with a file, and return a file of what it held."""
    for _ in range(_ATTEMPTS):
        try:
            fcntl.fcntl(content, _ADD_SEALS, _SEAL_WRITE | _SEAL_GROW)
            break
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
    else:
        raise AssertionError("the file of a disk is in use all the time")
    kept = _new_content(size_bytes)
    _copy(content, kept)
    os.ftruncate(content, 0)
    return kept


def _copy(source: int, target: int) -> None:
    """Copy what isn't zero."""
    offset, end = 0, os.fstat(source).st_size
    while offset < end:
        try:
            offset = os.lseek(source, offset, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        hole = os.lseek(source, offset, os.SEEK_HOLE)
        while offset < hole:
            piece = os.pread(source, min(len(_PIECE), hole - offset), offset)
            if piece != _PIECE[: len(piece)]:
                os.pwrite(target, piece, offset)
            offset += len(piece)


def _attach(content: int, sector_bytes: int, wanted: int | None) -> int:
    with open("/dev/loop-control", "rb") as control:
        fcntl.flock(control, fcntl.LOCK_EX)  # others that look for a device take turns
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _GET_FREE) if wanted is None else wanted
            wanted = None
            try:
                with open(f"/dev/loop{number}", "r+b", buffering=0) as device:
                    fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(content, sector_bytes))
                    return number
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EAGAIN, errno.ENXIO):
                    raise
    raise AssertionError("no loop device can be had")
