"""The open and mapped files of one process, by device number, read without waiting for a disk."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.libc import LIBC

# Source: Linux, include/uapi/linux/stat.h and fcntl.h.
_AT_FDCWD = -100
# The last known answer of a file system in user space or on the network; a new one could hang.
_WITHOUT_ASKING = 0x4000 | 0x0800  # AT_STATX_DONT_SYNC, AT_NO_AUTOMOUNT
_STATX_TYPE = 0x1
_STATX_BYTES = 256
_MODE = struct.Struct("=28xH")
_NUMBERS = struct.Struct("=128x4I")

# A line of `maps`: its addresses, and its file by device, inode and name. Memory without a file has
# inode 0. Source: proc_pid_maps(5).
_MAPPED_FILE = re.compile(rb"^(\S+) \S+ \S+ (\S+ [1-9]\d* .*)$", re.MULTILINE)

# Source: Linux, the system call table of each architecture, and include/uapi/linux/kcmp.h.
_KCMP = {"x86_64": 312, "aarch64": 272}.get(platform.machine())
_KCMP_FILES = 2

# Source: Linux, include/linux/sched.h; its place in `stat` after the name: proc_pid_stat(5).
_PF_KTHREAD = 0x00200000
_FLAGS_AT = 6

# The block device that a file is, `None` for other files; and the device of its file system.
Numbers = tuple[DeviceNumber | None, DeviceNumber]


@dataclass(frozen=True, slots=True)
class Sought:
    """The files to search for in processes.

    Attributes:
        devices: Block devices, open through any device node.
        filesystems: File systems, by the device number that `stat` gives for their files.
    """

    devices: frozenset[DeviceNumber]
    filesystems: frozenset[DeviceNumber]

    def includes(self, numbers: Numbers) -> bool:
        """Return whether a file of these numbers is sought."""
        device, filesystem = numbers
        return device in self.devices or filesystem in self.filesystems

    def __or__(self, other: Sought) -> Sought:
        """Return what either seeks."""
        return Sought(self.devices | other.devices, self.filesystems | other.filesystems)


def name_of(process: Path) -> str:
    """Return the number and the name of a process, for people.

    Raises:
        HostError: The host has no file or memory left.
    """
    return f"pid {process.name} ({read(process / 'comm').strip() or 'gone'})"


def read(file: Path) -> str:
    """Return a file of /proc as text, empty once its process is gone.

    Raises:
        HostError: The host has no file or memory left.
    """
    try:
        return file.read_text(errors="replace")
    except OSError as error:
        refuse_exhausted(error)
        return ""


def device_numbers(path: str) -> Numbers:
    """Return the block device that a path is, if it is one, and the device of its file system.

    Raises:
        OSError: Nothing is there.
    """
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if LIBC.statx(_AT_FDCWD, os.fsencode(path), _WITHOUT_ASKING, _STATX_TYPE, answer):
        raise OSError(ctypes.get_errno(), f"{path} can't be read")
    (mode,) = _MODE.unpack_from(answer)
    *node, major, minor = _NUMBERS.unpack_from(answer)
    device = DeviceNumber(*node) if stat.S_ISBLK(mode) else None
    return device, DeviceNumber(major, minor)


def is_kernel_thread(process: Path) -> bool:
    """Return whether a process is a thread of the kernel: half of a host's, and without files."""
    try:
        os.readlink(f"{process}/exe")
        return False
    except OSError:
        after_name = _read(f"{process}/stat").rpartition(b")")[2].split()
        return len(after_name) > _FLAGS_AT and bool(int(after_name[_FLAGS_AT]) & _PF_KTHREAD)


def opened(process: Path, sought: Sought) -> Iterator[Numbers]:
    """Yield the numbers of the sought files that a process has open.

    Raises:
        HostError: The host has no file or memory left.
    """
    for link in links(process):
        numbers = _numbers(link)
        if numbers is not None and sought.includes(numbers) and not _only_names(link):
            yield numbers


# Plain strings below: a busy host has thousands of open files, and a path for each takes longer
# than asking the kernel about it.


def mapped(process: Path, known: dict[bytes, Numbers]) -> frozenset[Numbers]:
    """Return the numbers of the files that a process has mapped.

    Args:
        known: Numbers by the lines of other processes: hundreds of them map the same libraries. A
            mapping that has vanished meanwhile tells nothing about that of the next process.
    """
    folder, maps = _maps(process)
    files = {file: addresses for addresses, file in _MAPPED_FILE.findall(maps)}
    for file in files.keys() - known.keys():
        numbers = _numbers(f"{folder}/map_files/{_plain(files[file].decode())}")
        if numbers is not None:
            known[file] = numbers
    return frozenset(known[file] for file in files if file in known)


def _maps(process: Path) -> tuple[str, bytes]:
    """Return the folder in /proc that shows the mappings of a process, and the mappings.

    The mappings are empty if the first thread has ended; then those of another thread are read.
    """
    if maps := _read(f"{process}/maps"):
        return str(process), maps
    for thread in _list(f"{process}/task"):
        if maps := _read(f"{process.parent}/{thread}/maps"):
            return f"{process.parent}/{thread}", maps
    return str(process), b""


def _read(file: str) -> bytes:
    try:
        with open(file, "rb", buffering=0) as content:
            return content.readall()
    except OSError as error:
        refuse_exhausted(error)
        return b""


def _plain(addresses: str) -> str:
    """Return a range of addresses in the format of map_files, without leading zeros."""
    first, _, last = addresses.partition("-")
    return f"{first.lstrip('0') or '0'}-{last.lstrip('0') or '0'}"


def _numbers(link: str) -> Numbers | None:
    try:
        return device_numbers(link)
    except OSError as error:
        refuse_exhausted(error)
        return None


def _only_names(link: str) -> bool:
    """Return whether a descriptor was opened with O_PATH, which doesn't open a device."""
    process, kind, descriptor = link.rsplit("/", 2)
    if kind != "fd":
        return False
    for line in _read(f"{process}/fdinfo/{descriptor}").splitlines():
        name, _, value = line.partition(b":")
        if name == b"flags":
            return bool(int(value, 8) & os.O_PATH)
    return False


def links(process: Path) -> Iterator[str]:
    """Yield the links in /proc to everything that a process has open."""
    yield from (f"{process}/{name}" for name in ("cwd", "root", "exe"))
    for folder, numbers in _tables(process):
        yield from (f"{folder}/{number}" for number in numbers)


def _tables(process: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each table of descriptors in the process: a folder in /proc, and the names in it.

    A thread can leave the table that all share, and the first one can end before the others.
    """
    first = f"{process}/fd"
    yield first, (numbers := _list(first))
    tables = [process.name]
    has_ended = not numbers
    for thread in _list(f"{process}/task"):
        if thread != process.name and (
            has_ended or not any(_share_descriptors(thread, each) for each in tables)
        ):
            tables.append(thread)
            table = f"{process}/task/{thread}/fd"
            yield table, _list(table)


def _share_descriptors(thread: str, other: str) -> bool:
    """Return whether two threads share one table; assume so if the kernel won't say."""
    if _KCMP is None:
        return True
    return int(LIBC.syscall(_KCMP, int(thread), int(other), _KCMP_FILES, 0, 0)) <= 0


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        refuse_exhausted(error)
        return []
