"""The processes of the host and their open and mapped files, read without waiting for a disk."""

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

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, NoAnswer
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.commands import is_own_command
from csi_exoblock.host.workers import Workers

_LIBC = ctypes.CDLL(None)

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
_MAPPED_FILE = re.compile(r"^(\S+) \S+ \S+ (\S+ [1-9]\d* .*)$", re.MULTILINE)

# Source: Linux, the system call table of each architecture, and include/uapi/linux/kcmp.h.
_KCMP = {"x86_64": 312, "aarch64": 272}.get(platform.machine())
_KCMP_FILES = 2

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


class Processes:
    """The processes that can be seen in one /proc: with `hostPID`, those of the whole host.

    Args:
        memory: Bounds how long reading the mappings of one process takes: a process that hangs on
            its disk keeps its memory locked, and a reader of its mappings hangs with it (S26).
        later_seconds: How long a search waits for each process that hangs, after the first.
    """

    def __init__(
        self,
        *,
        memory: Workers[frozenset[Numbers]],
        later_seconds: float,
        proc: Path = Path("/proc"),
    ) -> None:
        self._memory = memory
        self._later_seconds = later_seconds
        self._proc = proc

    def all(self) -> list[Path]:
        """Return the folder of every process."""
        with os.scandir(self._proc) as entries:
            return [Path(each.path) for each in entries if each.name.isdecimal()]

    def using(self, sought: Sought, *, skip_hung: bool = False) -> Iterator[Path]:
        """Yield the processes that have one of these devices or file systems open or mapped.

        A process that ends during the search is left out.

        Args:
            skip_hung: Whether to assume that a process with locked memory has mapped none of them
                beyond its open files.

        Raises:
            NoAnswer: No process uses them, but one has its memory locked and could.
        """
        mapped: dict[str, Numbers | None] = {}  # hundreds of processes map the same libraries
        silent: NoAnswer | None = None
        found = False
        for process in self.all():
            # Where one hangs many can: together they get not much more time than the first.
            deadline = Deadline(self._later_seconds) if silent else None
            try:
                uses = has_open(process, sought) or self._has_mapped(
                    process, sought, mapped, deadline
                )
            except NoAnswer as error:
                silent = error
                continue
            if uses:
                found = True
                yield process
        if silent is not None and not found and not skip_hung:
            raise silent

    def own_commands(self) -> list[Path]:
        """Return the commands that this driver process or an earlier one has begun."""
        return [each for each in self.all() if is_own_command(each)]

    def _has_mapped(
        self,
        process: Path,
        sought: Sought,
        known: dict[str, Numbers | None],
        deadline: Deadline | None,
    ) -> bool:
        """Return whether the process has mapped a sought file; mappings outlive descriptors.

        Raises:
            NoAnswer: Its memory is locked, or can't be read in time.
        """
        name = f"the memory of {name_of(process)}"
        try:
            mapped = self._memory.run(name, lambda: _mapped(process, known), deadline)
        except DeadlineExceeded as error:
            raise NoAnswer(
                f"{name} doesn't answer in time, so what it uses can't be seen"
            ) from error
        return any(sought.includes(each) for each in mapped)

    def within(self, folder: Path) -> Iterator[Path]:
        """Yield the processes that have this folder, or a file whose path is below it, open."""
        name, prefix = str(folder), f"{folder}/"
        for process in self.all():
            names = map(_target, _links(process))
            if any(each == name or each.startswith(prefix) for each in names):
                yield process

    def mount_namespaces(self) -> list[Path]:
        """Return one process of each mount namespace, first this process for its own."""
        found: dict[str, Path] = {}
        for process in (self._proc / "self", *self.all()):
            found.setdefault(_namespace(process), process)
        return list(found.values())


def name_of(process: Path) -> str:
    """Return the number and the name of a process, for people."""
    return f"pid {process.name} ({read(process / 'comm').strip() or 'gone'})"


def read(file: Path) -> str:
    """Return a file of /proc as text, empty once its process is gone."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def device_numbers(path: str) -> Numbers:
    """Return the block device that a path is, if it is one, and the device of its file system.

    Raises:
        OSError: Nothing is there.
    """
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if _LIBC.statx(_AT_FDCWD, os.fsencode(path), _WITHOUT_ASKING, _STATX_TYPE, answer):
        raise OSError(f"{path} can't be read")
    (mode,) = _MODE.unpack_from(answer)
    *node, major, minor = _NUMBERS.unpack_from(answer)
    device = DeviceNumber(*node) if stat.S_ISBLK(mode) else None
    return device, DeviceNumber(major, minor)


def has_open(process: Path, sought: Sought) -> bool:
    """Return whether a process has one of these devices or file systems open."""
    return any(_is_sought(link, sought) and not _only_names(link) for link in _links(process))


# Plain strings below: a busy host has thousands of open files, and a path for each takes longer
# than asking the kernel about it.


def _mapped(process: Path, known: dict[str, Numbers | None]) -> frozenset[Numbers]:
    """Return the device numbers of the files that a process has mapped."""
    found: set[Numbers] = set()
    folder, maps = _maps(process)
    for addresses, file in _MAPPED_FILE.findall(maps):
        if file not in known:
            known[file] = _numbers(f"{folder}/map_files/{_plain(addresses)}")
        if (numbers := known[file]) is not None:
            found.add(numbers)
    return frozenset(found)


def _maps(process: Path) -> tuple[str, str]:
    """Return the folder in /proc that shows the mappings of a process, and the mappings.

    The mappings are empty if the first thread has ended; then those of another thread are read.
    """
    threads = (process.with_name(thread) for thread in _list(f"{process}/task"))
    for folder in (process, *(each for each in threads if each != process)):
        if maps := read(folder / "maps"):
            return str(folder), maps
    return str(process), ""


def _plain(addresses: str) -> str:
    """Return a range of addresses in the format of map_files, without leading zeros."""
    first, _, last = addresses.partition("-")
    return f"{first.lstrip('0') or '0'}-{last.lstrip('0') or '0'}"


def _is_sought(link: str, sought: Sought) -> bool:
    numbers = _numbers(link)
    return numbers is not None and sought.includes(numbers)


def _numbers(link: str) -> Numbers | None:
    try:
        return device_numbers(link)
    except OSError:
        return None


def _only_names(link: str) -> bool:
    """Return whether a descriptor was opened with O_PATH, which doesn't open a device."""
    process, kind, descriptor = link.rsplit("/", 2)
    if kind != "fd":
        return False
    for line in read(Path(f"{process}/fdinfo/{descriptor}")).splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return bool(int(value, 8) & os.O_PATH)
    return False


def _links(process: Path) -> Iterator[str]:
    yield from (f"{process}/{name}" for name in ("cwd", "root", "exe"))
    for folder in _tables(process):
        yield from (f"{folder}/{number}" for number in _list(folder))


def _tables(process: Path) -> Iterator[str]:
    """Yield a folder of descriptors for each table of descriptors in the process.

    A thread can leave the table that all share, and the first one can end before the others.
    """
    yield f"{process}/fd"
    tables = [process.name]
    has_ended = not _list(f"{process}/fd")
    for thread in _list(f"{process}/task"):
        if thread != process.name and (
            has_ended or not any(_share_descriptors(thread, each) for each in tables)
        ):
            tables.append(thread)
            yield f"{process}/task/{thread}/fd"


def _share_descriptors(thread: str, other: str) -> bool:
    """Return whether two threads share one table; assume so if the kernel won't say."""
    if _KCMP is None:
        return True
    return int(_LIBC.syscall(_KCMP, int(thread), int(other), _KCMP_FILES, 0, 0)) <= 0


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _namespace(process: Path) -> str:
    return _target(f"{process}/ns/mnt") or str(process)
