"""Who uses a file system or a device, for the message that says why it is busy (D4, D6)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.devices import DeviceNumber
from csi_exoblock.host.workers import Workers

# A message names so many; more would not fit where sidecars store it (F11).
_NAMED = 8


class Holders:
    """Looks through the processes of the host."""

    def __init__(self, *, workers: Workers[str], proc: Path = Path("/proc")) -> None:
        self._workers = workers
        self._proc = proc

    def of_mount(self, target: Path) -> str:
        """Name the processes that have a file or folder of the mounted file system in use."""
        return self._named(
            f"the users of {target}",
            lambda: _using_file_system(target),
        )

    def of_device(self, number: DeviceNumber) -> str:
        """Name the processes that have the device open, or mounted in their own namespace."""
        return self._named(f"the users of device {number}", lambda: _using_device(number))

    def _named(self, key: str, rule: Callable[[], Callable[[Path], bool]]) -> str:
        def names() -> str:
            uses = rule()
            users = (_name(process) for process in self._processes() if uses(process))
            return ", ".join(islice(users, _NAMED)) or "nobody that /proc shows"

        try:
            return self._workers.run(key, names)
        except (HostError, OSError) as error:
            return f"somebody unknown ({error})"

    def _processes(self) -> Iterator[Path]:
        return (process for process in self._proc.iterdir() if process.name.isdecimal())


def _using_file_system(target: Path) -> Callable[[Path], bool]:
    try:
        device = target.stat().st_dev
    except OSError:  # one that was shut down has no numbers any more, but its files keep names
        within = (str(target), f"{target}/")
        return lambda process: any(_lies_in(name, *within) for name in _names(process))
    return lambda process: any(status.st_dev == device for status in _files(process))


def _using_device(number: DeviceNumber) -> Callable[[Path], bool]:
    return lambda process: (
        any(DeviceNumber.of(status.st_rdev) == number for status in _files(process))
        or f" {number} " in _read(process / "mountinfo")
    )


def _lies_in(name: str, folder: str, prefix: str) -> bool:
    return name == folder or name.startswith(prefix)


# Plain strings below: a busy host has thousands of open files, and a path for each takes longer
# than asking the kernel about it.


def _files(process: Path) -> Iterator[os.stat_result]:
    """Yield what a process has in use, as far as it still lives."""
    for link in _links(process):
        try:
            yield os.stat(link)
        except OSError:
            continue


def _names(process: Path) -> Iterator[str]:
    for link in _links(process):
        try:
            yield os.readlink(link)
        except OSError:
            continue


def _links(process: Path) -> Iterator[str]:
    yield from (f"{process}/{name}" for name in ("cwd", "root", "exe"))
    try:
        descriptors = os.listdir(f"{process}/fd")
    except OSError:
        return
    yield from (f"{process}/fd/{number}" for number in descriptors)


def _name(process: Path) -> str:
    return f"pid {process.name} ({_read(process / 'comm').strip() or 'gone'})"


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
