"""What the processes of the host have open or mapped, asked without waiting for any file system."""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.host.devices import DeviceNumber

_LIBC = ctypes.CDLL(None)

# Source: Linux, include/uapi/linux/stat.h and fcntl.h.
_AT_FDCWD = -100
# What a file system in user space or on the network last said is good enough; asking it can hang.
_WITHOUT_ASKING = 0x4000 | 0x0800  # AT_STATX_DONT_SYNC, AT_NO_AUTOMOUNT
_STATX_TYPE = 0x1
_STATX_BYTES = 256
_MODE = struct.Struct("=28xH")
_NUMBERS = struct.Struct("=128x4I")

# A line of `maps`: its addresses, and the file by device, inode and name; memory of no file has
# inode 0. Source: proc_pid_maps(5).
_MAPPED_FILE = re.compile(r"^(\S+) \S+ \S+ (\S+ [1-9]\d* .*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for in processes.

    Attributes:
        devices: Block devices that are open, through whatever device node.
        filesystems: What `stat` calls the device of the files that are open.
    """

    devices: frozenset[DeviceNumber]
    filesystems: frozenset[DeviceNumber]


class Processes:
    """The processes that can be seen in one /proc: with `hostPID`, those of the whole host."""

    def __init__(self, *, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def all(self) -> list[Path]:
        """Return the folder of every process."""
        return [Path(each.path) for each in os.scandir(self._proc) if each.name.isdecimal()]

    def using(self, sought: Sought) -> Iterator[Path]:
        """Yield the processes that have one of these devices or file systems open or mapped.

        Each is asked as far as it still lives.
        """
        mapped: dict[str, bool] = {}  # libraries are mapped by hundreds of processes
        for process in self.all():
            if _has_open(process, sought) or _has_mapped(process, sought, mapped):
                yield process

    def within(self, folder: Path) -> Iterator[Path]:
        """Yield the processes that have a file of this name, or of one below it, open."""
        name, prefix = str(folder), f"{folder}/"
        for process in self.all():
            names = map(_target, _links(process))
            if any(each == name or each.startswith(prefix) for each in names):
                yield process

    def mount_namespaces(self) -> list[Path]:
        """Return one process of each mount namespace, this process itself for its own."""
        found: dict[str, Path] = {}
        for process in (self._proc / "self", *self.all()):
            found.setdefault(_namespace(process), process)
        return list(found.values())


def name_of(process: Path) -> str:
    """Return the number and the name of a process, for people."""
    return f"pid {process.name} ({read(process / 'comm').strip() or 'gone'})"


def read(file: Path) -> str:
    """Return a file of /proc as text; nothing once its process is gone."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def look_at(path: str) -> tuple[DeviceNumber | None, DeviceNumber]:
    """Return which block device a path is, if it is one, and which one its file system is on.

    Raises:
        OSError: Nothing is there.
    """
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if _LIBC.statx(_AT_FDCWD, os.fsencode(path), _WITHOUT_ASKING, _STATX_TYPE, answer):
        raise OSError(f"{path} can't be looked at")
    (mode,) = _MODE.unpack_from(answer)
    *node, major, minor = _NUMBERS.unpack_from(answer)
    device = DeviceNumber(*node) if stat.S_ISBLK(mode) else None
    return device, DeviceNumber(major, minor)


# Plain strings below: a busy host has thousands of open files, and a path for each takes longer
# than asking the kernel about it.


def _has_open(process: Path, sought: Sought) -> bool:
    return any(_is_sought(link, sought) and not _only_names(link) for link in _links(process))


def _has_mapped(process: Path, sought: Sought, known: dict[str, bool]) -> bool:
    """Tell whether the process has mapped what is sought: a mapping outlives its descriptor."""
    for addresses, file in _MAPPED_FILE.findall(read(process / "maps")):
        if file not in known:
            known[file] = _is_sought(f"{process}/map_files/{_plain(addresses)}", sought)
        if known[file]:
            return True
    return False


def _plain(addresses: str) -> str:
    """Return a range of addresses as map_files writes it, without leading zeros."""
    first, _, last = addresses.partition("-")
    return f"{first.lstrip('0') or '0'}-{last.lstrip('0') or '0'}"


def _is_sought(link: str, sought: Sought) -> bool:
    try:
        device, filesystem = look_at(link)
    except OSError:
        return False
    return device in sought.devices or filesystem in sought.filesystems


def _only_names(link: str) -> bool:
    """Tell whether a descriptor was opened with O_PATH, which doesn't open a device."""
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
    descriptors = _list(f"{process}/fd")
    yield from (f"{process}/fd/{number}" for number in descriptors)
    if not descriptors:  # the first thread may have ended before the others
        for thread in _list(f"{process}/task"):
            folder = f"{process}/task/{thread}/fd"
            yield from (f"{folder}/{number}" for number in _list(folder))


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
