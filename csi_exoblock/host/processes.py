"""The processes of the host, and which of them use a disk or a file system."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path

from csi_exoblock.concurrency import Deadline, SharedCall, SharedSearch
from csi_exoblock.errors import NoAnswer
from csi_exoblock.host.commands import is_own_command
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.mappings import Mappings
from csi_exoblock.host.open_files import Numbers, Sought, is_kernel_thread, links, opened


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at all processes.

    Attributes:
        users: The processes that use something sought, and what each uses.
        silent: Why a process could not be looked at, if any.
    """

    users: tuple[tuple[Path, frozenset[Numbers]], ...]
    silent: NoAnswer | None


class Processes:
    """The processes that can be seen in one /proc: with `hostPID`, those of the whole host.

    Searches at the same time share one look at all processes, which begins after each of them has
    begun: on a busy node a look keeps a processor busy for a tenth of a second, and twenty volumes
    can leave at once.
    """

    def __init__(self, *, mappings: Mappings, proc: Path = Path("/proc")) -> None:
        self._mappings = mappings
        self._proc = proc
        self._shared = SharedSearch(self._look, name="a look at all processes")
        self._commands = SharedCall(self._find_commands, name="a look for the driver's commands")

    def all(self) -> list[Path]:
        """Return the folder of every process.

        Raises:
            HostError: The host has no file or memory left.
        """
        try:
            with os.scandir(self._proc) as entries:
                return [Path(each.path) for each in entries if each.name.isdecimal()]
        except OSError as error:
            refuse_exhausted(error)
            raise

    def using(self, sought: Sought, *, skip_hung: bool = False) -> list[Path]:
        """Return the processes that have one of these devices or file systems open or mapped.

        A process that ends during the search is left out.

        Args:
            skip_hung: Whether to assume that a process with locked memory has mapped none of them
                beyond its open files.

        Raises:
            NoAnswer: No process uses them, but one has its memory locked and could.
            HostError: The host has no thread left.
        """
        look = self._shared.get(sought)
        found = [process for process, used in look.users if any(map(sought.includes, used))]
        if look.silent is not None and not found and not skip_hung:
            raise look.silent
        return found

    def own_commands(self) -> list[Path]:
        """Return the commands that this driver process or an earlier one has begun.

        Raises:
            HostError: The host has no thread left.
        """
        return self._commands.get(Deadline(math.inf))

    def _find_commands(self) -> list[Path]:
        return [each for each in self.all() if is_own_command(each)]

    def _look(self, searches: Sequence[Sought]) -> _Look:
        """Look at all processes, for everything that is sought."""
        sought = reduce(or_, searches)
        used = {
            process: set(opened(process, sought))
            for process in self.all()
            if not is_kernel_thread(process)
        }
        # The memory of a process that hangs is waited for only if the answer depends on it.
        unclear = [
            process
            for process, numbers in used.items()
            if not all(any(map(each.includes, numbers)) for each in searches)
        ]
        mapped, silent = self._mappings.of(unclear)
        for process, numbers in mapped.items():
            used[process].update(filter(sought.includes, numbers))
        users = ((process, frozenset(each)) for process, each in used.items() if each)
        return _Look(tuple(users), silent)

    def within(self, folder: Path) -> Iterator[Path]:
        """Yield the processes that have this folder, or a file whose path is below it, open."""
        name, prefix = str(folder), f"{folder}/"
        for process in self.all():
            names = map(_target, links(process))
            if any(each == name or each.startswith(prefix) for each in names):
                yield process

    def mount_namespaces(self) -> list[Path]:
        """Return one process of each mount namespace, first this process for its own."""
        found: dict[str, Path] = {}
        for process in (self._proc / "self", *self.all()):
            found.setdefault(_namespace(process), process)
        return list(found.values())


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError as error:
        refuse_exhausted(error)
        return ""


def _namespace(process: Path) -> str:
    return _target(f"{process}/ns/mnt") or str(process)
