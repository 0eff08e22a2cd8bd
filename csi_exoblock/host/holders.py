"""The holders of a disk or file system: processes, mounts, swap and other devices (D4, D6).

The proof that a disk is free and the message about a busy one both use this list. It lacks
descriptors that exist only in a message inside a socket, or in a ring of io_uring.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from csi_exoblock.concurrency import SharedSearch
from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.commands import is_own_command
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.loops import Backings, Loops
from csi_exoblock.host.mountinfo import Line, unescaped
from csi_exoblock.host.open_files import Sought, device_numbers, name_of, opened, read
from csi_exoblock.host.processes import Processes
from csi_exoblock.host.workers import Workers
from csi_exoblock.model import Filesystem

# The most holders that a message names; more would not fit where sidecars store it (F11).
_NAMED = 8


class _Table(NamedTuple):
    """The mounts of a mount namespace that are wanted, and a process in it."""

    process: Path
    lines: tuple[Line, ...]


class Holders:
    """Searches the processes and the tables of the host for holders.

    Args:
        workers: Bounds how long a search takes.
    """

    def __init__(
        self,
        *,
        workers: Workers[tuple[str, ...]],
        loops: Loops,
        processes: Processes,
        proc: Path = Path("/proc"),
        sysfs: Path = Path("/sys"),
    ) -> None:
        self._workers = workers
        self._loops = loops
        self._proc = proc
        self._sysfs = sysfs
        self._processes = processes
        self._tables = SharedSearch(self._read_tables, name="a look at all mounts")

    def of_device(
        self, numbers: frozenset[DeviceNumber], *, skip_hung: bool = False
    ) -> tuple[str, ...]:
        """Return the holders of a disk, named for people; empty if the disk is free.

        Args:
            numbers: The device numbers of the disk and of its partitions.
            skip_hung: Whether to assume that a process that hangs has no mapping of this disk
                beyond its open files, and that a loop device that hangs is not made of this disk.

        Raises:
            HostError: The search takes too long; or it finds no holder, but one process or loop
                device hangs and could be one.
        """
        ways: tuple[Callable[[frozenset[DeviceNumber]], Iterator[str]], ...] = (
            self._mounted,
            self._built_upon,
            self._swapped,
        )
        key = ", ".join(map(str, sorted(numbers)))

        def search() -> tuple[str, ...]:
            backings, hung = self._loops.backings()
            known = _first(
                chain(
                    (name for way in ways for name in way(numbers)),
                    self._made_of(numbers, backings),
                )
            )
            users = _first(chain(known, self._opened(numbers, skip_hung or bool(known))))
            if hung and not users and not skip_hung:
                raise hung
            return users

        return self._workers.run(
            f"the users of device {key}{' that answer' if skip_hung else ''}", search
        )

    def of_mount(
        self, target: Path, superblock: DeviceNumber, node: DeviceNumber | None = None
    ) -> str:
        """Return a text that names the users of a mount, for a message.

        Args:
            superblock: The number of its file system in mountinfo.
            node: The device whose node is bound there, `None` for the mount of a file system. With
                a node the users of the device count: every process uses the file system of nodes.
        """

        def search() -> tuple[str, ...]:
            if node is not None:
                sought = Sought(devices=frozenset({node}), filesystems=frozenset())
                return _first(map(name_of, self._processes.using(sought, skip_hung=True)))
            number = _number_of_mounted(target)
            if number is None:  # but its open files keep their names
                return _first(map(name_of, self._processes.within(target)))
            return _first(self._using_file_system(target, frozenset({superblock, number})))

        try:
            users = self._workers.run(f"the users of {target}", search)
        except (HostError, OSError) as error:
            return f"somebody unknown ({error})"
        return listed(users)

    def commands_on(self, target: Path, superblock: DeviceNumber) -> tuple[str, ...]:
        """Return the driver's own commands that have a mounted file system open (D13).

        Raises:
            HostError: The search takes too long.
        """

        def search() -> tuple[str, ...]:
            if not (commands := self._processes.own_commands()):
                return ()
            sought = Sought(devices=frozenset(), filesystems=_numbers(target, superblock))
            return _first(name_of(each) for each in commands if any(opened(each, sought)))

        return self._workers.run(f"the driver's commands on {target}", search)

    def commands_with(self, numbers: frozenset[DeviceNumber]) -> tuple[str, ...]:
        """Return the driver's own commands that have a disk open, whichever process began them.

        Args:
            numbers: The device numbers of the disk and of its partitions.

        Raises:
            HostError: The search takes too long.
        """

        def search() -> tuple[str, ...]:
            sought = Sought(devices=numbers, filesystems=frozenset())
            commands = self._processes.own_commands()
            return _first(name_of(each) for each in commands if any(opened(each, sought)))

        key = ", ".join(map(str, sorted(numbers)))
        return self._workers.run(f"the driver's commands with device {key}", search)

    def beside_commands(
        self, device: DeviceNumber | None, target: Path, superblock: DeviceNumber
    ) -> tuple[str, ...]:
        """Return the holders of a mounted file system apart from the driver and its own commands.

        The mount at the target doesn't count, nor do its copies in mount namespaces to which an
        unmount propagates.

        Raises:
            HostError: The search takes too long.
        """
        numbers = frozenset({device}) if device else frozenset()

        def search() -> tuple[str, ...]:
            filesystems = numbers | _numbers(target, superblock)
            sought = Sought(devices=numbers, filesystems=filesystems)
            own = str(os.getpid())
            users = (
                name_of(each)
                for each in self._processes.using(sought, skip_hung=True)
                if each.name != own and not is_own_command(each)
            )
            return _first(chain(self._mounted(numbers, apart_from=str(target)), users))

        return self._workers.run(f"the other users of {target}", search)

    def _using_file_system(self, target: Path, numbers: frozenset[DeviceNumber]) -> Iterator[str]:
        sought = Sought(devices=frozenset(), filesystems=numbers)
        yield from map(name_of, self._processes.using(sought, skip_hung=True))
        yield from self._mounted_below(target)
        yield from self._swapped(numbers)
        yield from self._made_of(numbers, self._loops.backings()[0])

    def _mounted(
        self, numbers: frozenset[DeviceNumber], *, apart_from: str | None = None
    ) -> Iterator[str]:
        """Yield the mounts of the device in every mount namespace that has a process.

        Args:
            apart_from: The path of a mount that doesn't count, nor do its copies elsewhere, such as
                below a folder that shows the host's root.
        """
        written = {str(number) for number in numbers}
        says = (*(f" {number} " for number in written), f" - {Filesystem.BTRFS} ")
        tables = self._tables.get(says)
        own = tables[0].process
        told: set[str] = set()  # a process whose namespace can't be read may share that of another
        for process, lines in tables:
            where = "" if process == own else f" for {name_of(process)}"
            for line in lines:
                if line.number not in written and not self._is_btrfs_of(line, process, numbers):
                    continue
                if line.mount_id in told:
                    continue
                told.add(line.mount_id)
                target = unescaped(line.target)
                is_it = process == own and target == apart_from
                is_copy = line.tags and apart_from and target.endswith(apart_from)
                if not (is_it or is_copy):
                    yield f"a mount at {target}{where}"

    def _opened(self, numbers: frozenset[DeviceNumber], skip_hung: bool) -> Iterator[str]:
        """Yield the processes that have the device, or files on it, open or mapped."""
        sought = Sought(devices=numbers, filesystems=numbers)
        return map(name_of, self._processes.using(sought, skip_hung=skip_hung))

    def _built_upon(self, numbers: frozenset[DeviceNumber]) -> Iterator[str]:
        """Yield the devices that are built upon it, such as those of LVM and mdraid."""
        for number in sorted(numbers):
            yield from _names_in(self._sysfs / "dev" / "block" / str(number) / "holders")

    def _swapped(self, numbers: frozenset[DeviceNumber]) -> Iterator[str]:
        """Yield the swap spaces on the device."""
        for line in read(self._proc / "swaps").splitlines()[1:]:
            path = unescaped(line.split()[0])
            if _is_on(path, numbers):
                yield f"swap space {path}"

    def _made_of(self, numbers: frozenset[DeviceNumber], backings: Backings) -> Iterator[str]:
        """Yield the loop devices whose content is on the device."""
        yield from (name for name, on in backings.items() if not numbers.isdisjoint(on))

    def _mounted_below(self, target: Path) -> Iterator[str]:
        for line in self._lines(self._proc / "self"):
            if Path(unescaped(line.target)).parent.is_relative_to(target):
                yield f"a mount at {unescaped(line.target)}"

    def _read_tables(self, searches: Sequence[tuple[str, ...]]) -> list[_Table]:
        """Read the mounts of every mount namespace that has a process, first those of this one.

        A node has a hundred namespaces with hundreds of mounts each, so others aren't parsed.

        Args:
            searches: Of what the lines that each search wants contain at least one.
        """
        says = frozenset(chain.from_iterable(searches))
        return [
            _Table(process, tuple(self._lines(process, says)))
            for process in self._processes.mount_namespaces()
        ]

    def _lines(self, process: Path, says: frozenset[str] = frozenset({""})) -> Iterator[Line]:
        lines = read(process / "mountinfo").split("\n")
        return filter(
            None, (Line.parse(line) for line in lines if any(each in line for each in says))
        )

    def _is_btrfs_of(self, line: Line, process: Path, numbers: frozenset[DeviceNumber]) -> bool:
        """Return whether a line is about a btrfs on the disk; mountinfo has an invented number."""
        if line.filesystem != Filesystem.BTRFS:
            return False
        source = unescaped(line.source)
        for root in ("", f"{process}/root"):
            try:
                return device_numbers(f"{root}{source}")[0] in numbers
            except OSError as error:
                refuse_exhausted(error)
        # The device node is in neither namespace, but the kernel's name for the disk can match.
        return Path(source).name in {self._name(number) for number in numbers}

    def _name(self, number: DeviceNumber) -> str:
        return (self._sysfs / "dev" / "block" / str(number)).resolve().name


def listed(users: tuple[str, ...]) -> str:
    """Return the users as a list for a message."""
    return ", ".join(users) or "nobody that /proc shows"


def _numbers(target: Path, superblock: DeviceNumber) -> frozenset[DeviceNumber]:
    """Return the device numbers that mountinfo and `stat` give for a mounted file system."""
    number = _number_of_mounted(target)
    return frozenset({superblock} if number is None else {superblock, number})


def _number_of_mounted(target: Path) -> DeviceNumber | None:
    """Return the device number that `stat` gives for a file system, `None` after its shutdown."""
    try:
        return device_numbers(str(target))[1]
    except OSError as error:
        refuse_exhausted(error)
        return None


def _first(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(names), _NAMED))


def _names_in(folder: Path) -> Iterator[str]:
    try:
        yield from sorted(os.listdir(folder))
    except OSError as error:
        refuse_exhausted(error)


def _is_on(path: str, numbers: frozenset[DeviceNumber]) -> bool:
    try:
        return not numbers.isdisjoint(device_numbers(path))
    except OSError as error:
        refuse_exhausted(error)
        return False
