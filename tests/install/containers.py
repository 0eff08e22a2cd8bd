"""The containers of the driver's pods as this machine has them: process, memory, mounts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.places import CONTAINERD_SOCKET

MIB: Final = 2**20

_CGROUPS = Path("/sys/fs/cgroup")
# The names of the same files in the two versions of cgroups.
_USAGE = ("memory.usage_in_bytes", "memory.current")
_PEAK = ("memory.max_usage_in_bytes", "memory.peak")
_LIMIT = ("memory.limit_in_bytes", "memory.max")
_KILLS = ("memory.oom_control", "memory.events")
_INACTIVE = ("total_inactive_file", "inactive_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that runs.

    Attributes:
        pid: Its first process, as this machine counts.
    """

    pod: str
    name: str
    pid: int

    @property
    def working_set(self) -> int:
        """The bytes of memory that it needs, as kubelet counts: without idle pages of files."""
        return int(self._read(*_USAGE)) - self._field("memory.stat", *_INACTIVE)

    @property
    def peak(self) -> int:
        """The most bytes of memory that it ever had, pages of files among them."""
        return int(self._read(*_PEAK))

    @property
    def processes(self) -> int:
        """How many processes run in it."""
        return len(self._read("cgroup.procs").split())

    @property
    def memory_limit(self) -> int:
        """The bytes of memory that the kernel lets it have."""
        return int(self._read(*_LIMIT))

    @property
    def kills(self) -> int:
        """How many of its processes the kernel has ended because the memory was full."""
        return max(self._field(name, "oom_kill") for name in self._present(*_KILLS))

    @property
    def root_is_read_only(self) -> bool:
        """Whether the file system that its process sees as root refuses writes."""
        for line in Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines():
            fields = line.split()
            if fields[4] == "/":
                return "ro" in fields[5].split(",")
        raise AssertionError(f"process {self.pid} has no root")

    def read_text(self, path: str) -> str:
        """Return what a file holds that its process sees, by its path without the first slash."""
        return Path(f"/proc/{self.pid}/root/{path}").read_text()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        os.kill(self.pid, signal.SIGKILL)

    def _field(self, file: str, *names: str) -> int:
        lines = (line.split() for line in self._read(file).splitlines())
        return next(int(line[1]) for line in lines if line[0] in names)

    def _read(self, *names: str) -> str:
        return (self._folder() / self._present(*names)[0]).read_text()

    def _present(self, *names: str) -> list[str]:
        return [name for name in names if (self._folder() / name).exists()]

    def _folder(self) -> Path:
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                return _CGROUPS / "memory" / path.lstrip("/")
            if not controllers and not (_CGROUPS / "memory").exists():
                return _CGROUPS / path.lstrip("/")
        raise AssertionError(f"process {self.pid} is in no cgroup for memory")


def running_containers(
    pods: Iterable[Document], sockets: Sequence[Path] = (CONTAINERD_SOCKET,)
) -> list[Container]:
    """Return the containers of pods that run now.

    Args:
        sockets: Those of the nodes' containerds.
    """
    pids = {id: pid for socket in sockets for id, pid in _pids(socket).items()}
    found = []
    for pod in pods:
        for status in pod.documents("status", "containerStatuses"):
            pid = pids.get(status.text("containerID").removeprefix("containerd://"))
            if pid is not None:
                name = pod.text("metadata", "name")
                found.append(Container(pod=name, name=status.text("name"), pid=pid))
    return found


def _pids(socket: Path) -> dict[str, int]:
    """Return the first process of each container that runs, by the container's id."""
    command = ["ctr", f"--address={socket}", "--namespace=k8s.io", "tasks", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in listed.splitlines()[1:])
    return {id: int(pid) for id, pid, state in rows if state == "RUNNING"}
