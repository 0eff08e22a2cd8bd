"""Every way in which Linux holds a disk or a file system, and who does (D4, D6).

What proves that a disk is free and what a message says about a busy one come from this one list.
Not seen are descriptors that only a message in a socket or a ring of io_uring still keeps.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

from csi_exoblock.errors import HostError, NoAnswer
from csi_exoblock.host.commands import is_own_command
from csi_exoblock.host.devices import DeviceNumber
from csi_exoblock.host.loops import backing_of
from csi_exoblock.host.mountinfo import Line, unescaped
from csi_exoblock.host.processes import Processes, Sought, has_open, look_at, name_of, read
from csi_exoblock.host.workers import Workers

# A message names eight at most; more would not fit where sidecars store it (F11).
_NAMED = 8


class Holders:
    """Looks through the processes and the tables of the host.

    Args:
        workers: Bounds how long that may take.
        loops: Bounds how long one loop device is asked: where its content lies on a network or in
            user space, the kernel asks there first (S26).
    """

    def __init__(
        self,
        *,
        workers: Workers[tuple[str, ...]],
        loops: Workers[tuple[DeviceNumber, ...]],
        processes: Processes,
        proc: Path = Path("/proc"),
        sysfs: Path = Path("/sys"),
        dev: Path = Path("/dev"),
    ) -> None:
        self._workers = workers
        self._loops = loops
        self._proc = proc
        self._sysfs = sysfs
        self._dev = dev
        self._processes = processes

    def of_device(
        self, numbers: frozenset[DeviceNumber], *, skip_hung: bool = False
    ) -> tuple[str, ...]:
        """Return who holds a disk, named for people; nobody if it is empty.

        Args:
            numbers: Those of the disk and of its partitions.
            skip_hung: Whether to believe that processes which hang on other disks have not mapped
                this one and closed it, and that loop devices which hang are not made of it.

        Raises:
            HostError: The search doesn't come to an end, or nobody holds it apart perhaps from a
                process or a loop device that hangs.
        """
        ways: tuple[Callable[[frozenset[DeviceNumber]], Iterator[str]], ...] = (
            self._mounted,
            self._built_upon,
            self._swapped,
        )
        key = ", ".join(map(str, sorted(numbers)))

        def search() -> tuple[str, ...]:
            hung: list[NoAnswer] = []
            known = _first(
                chain(
                    (name for way in ways for name in way(numbers)),
                    self._backing_loops(numbers, hung),
                )
            )
            users = _first(chain(known, self._opened(numbers, skip_hung or bool(known))))
            if hung and not users and not skip_hung:
                raise hung[0]
            return users

        return self._workers.run(
            f"the users of device {key}{' that answer' if skip_hung else ''}", search
        )

    def of_mount(
        self, target: Path, superblock: DeviceNumber, node: DeviceNumber | None = None
    ) -> str:
        """Name those who have a mount busy.

        Args:
            superblock: What mountinfo calls its device.
            node: The device whose node is bound there, if that is what the mount is: everybody uses
                the file system that device nodes lie in.
        """

        def search() -> tuple[str, ...]:
            if node is not None:
                sought = Sought(devices=frozenset({node}), filesystems=frozenset())
                return _first(map(name_of, self._processes.using(sought, skip_hung=True)))
            try:
                numbers = frozenset({superblock, look_at(str(target))[1]})
            except OSError:  # one that was shut down has no numbers, but its files keep names
                return _first(map(name_of, self._processes.within(target)))
            return _first(self._using_file_system(target, numbers))

        try:
            users = self._workers.run(f"the users of {target}", search)
        except (HostError, OSError) as error:
            return f"somebody unknown ({error})"
        return listed(users)

    def commands_on(self, target: Path, superblock: DeviceNumber) -> tuple[str, ...]:
        """Name the driver's own commands that have a mounted file system open (D13).

        Raises:
            HostError: The search doesn't come to an end.
        """

        def search() -> tuple[str, ...]:
            if not (commands := self._processes.own_commands()):
                return ()
            sought = Sought(devices=frozenset(), filesystems=_numbers(target, superblock))
            return _first(name_of(each) for each in commands if has_open(each, sought))

        return self._workers.run(f"the driver's commands on {target}", search)

    def beside_commands(
        self, device: DeviceNumber | None, target: Path, superblock: DeviceNumber
    ) -> tuple[str, ...]:
        """Name who has a mounted file system or its device, apart from the driver's own commands.

        Its mount at the target counts for nobody, nor do the views of it in mount namespaces that
        hear of an unmount.

        Raises:
            HostError: The search doesn't come to an end.
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
        yield from self._backing_loops(numbers, [])

    def _mounted(
        self, numbers: frozenset[DeviceNumber], *, apart_from: str | None = None
    ) -> Iterator[str]:
        """Yield where it is mounted, in any mount namespace that a process is in.

        Args:
            apart_from: Of which mount neither it nor its views elsewhere, such as below a folder
                that shows the host's root, are sought.
        """
        written = {str(number) for number in numbers}
        own, *others = self._processes.mount_namespaces()
        for process in (own, *others):
            where = "" if process == own else f" for {name_of(process)}"
            for line in self._lines(process):
                if line.number not in written and not self._is_btrfs_of(line, process, numbers):
                    continue
                target = unescaped(line.target)
                if not (apart_from and line.tags and target.endswith(apart_from)):
                    yield f"a mount at {target}{where}"

    def _opened(self, numbers: frozenset[DeviceNumber], skip_hung: bool) -> Iterator[str]:
        """Yield the processes that have it open or mapped, or files of a file system on it."""
        sought = Sought(devices=numbers, filesystems=numbers)
        return map(name_of, self._processes.using(sought, skip_hung=skip_hung))

    def _built_upon(self, numbers: frozenset[DeviceNumber]) -> Iterator[str]:
        """Yield the devices that are made of it, such as those of LVM and mdraid."""
        for number in sorted(numbers):
            yield from _names_in(self._sysfs / "dev" / "block" / str(number) / "holders")

    def _swapped(self, numbers: frozenset[DeviceNumber]) -> Iterator[str]:
        """Yield the swap spaces that are on it."""
        for line in read(self._proc / "swaps").splitlines()[1:]:
            path = unescaped(line.split()[0])
            if _is_on(path, numbers):
                yield f"swap space {path}"

    def _backing_loops(
        self, numbers: frozenset[DeviceNumber], hung: list[NoAnswer]
    ) -> Iterator[str]:
        """Yield the loop devices whose content is on it.

        Args:
            hung: Gets an error for each that doesn't answer.
        """
        for backing in (self._sysfs / "block").glob("loop*/loop/backing_file"):
            name = backing.parent.parent.name
            try:
                backs = self._loops.run(
                    f"loop device {name}", partial(backing_of, self._dev / name)
                )
            except NoAnswer as error:
                hung.append(error)
                continue
            if not numbers.isdisjoint(backs):
                yield name

    def _mounted_below(self, target: Path) -> Iterator[str]:
        for line in self._lines(self._proc / "self"):
            if Path(unescaped(line.target)).parent.is_relative_to(target):
                yield f"a mount at {unescaped(line.target)}"

    def _lines(self, process: Path) -> Iterator[Line]:
        return filter(None, map(Line.parse, read(process / "mountinfo").split("\n")))

    def _is_btrfs_of(self, line: Line, process: Path, numbers: frozenset[DeviceNumber]) -> bool:
        """Tell whether a line is about a btrfs of the disk, which has an invented number there."""
        if line.filesystem != "btrfs":
            return False
        source = unescaped(line.source)
        for root in ("", f"{process}/root"):
            with contextlib.suppress(OSError):
                return look_at(f"{root}{source}")[0] in numbers
        # Its device node is neither here nor there, but the kernel's name for it may be known.
        return Path(source).name in {self._name(number) for number in numbers}

    def _name(self, number: DeviceNumber) -> str:
        return (self._sysfs / "dev" / "block" / str(number)).resolve().name


def listed(users: tuple[str, ...]) -> str:
    """Return users as a message names them."""
    return ", ".join(users) or "nobody that /proc shows"


def _numbers(target: Path, superblock: DeviceNumber) -> frozenset[DeviceNumber]:
    """Return what mountinfo and `stat` call the device of a mounted file system."""
    with contextlib.suppress(OSError):  # it was shut down
        return frozenset({superblock, look_at(str(target))[1]})
    return frozenset({superblock})


def _first(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(names), _NAMED))


def _names_in(folder: Path) -> Iterator[str]:
    try:
        yield from sorted(os.listdir(folder))
    except OSError:
        return


def _is_on(path: str, numbers: frozenset[DeviceNumber]) -> bool:
    try:
        return not numbers.isdisjoint(look_at(path))
    except OSError:
        return False
