"""Leave the machine as it was before the cluster, whatever state a run or a crash left it in."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.kubernetes.cluster import ways
from tests.kubernetes.cluster.daemons import stop_recorded
from tests.kubernetes.cluster.machine import FIRST, SECOND_MACHINE, Machine
from tests.kubernetes.cluster.places import PROCESSES, STATE
from tests.support.loop_devices import loop_devices_below
from tests.support.waiting import eventually

# A process that starts or mounts things ends first; everything that it started ends below.
_KILL_FIRST = ("kubelet", "containerd")  # of each node
_CONTAINER_CGROUPS = "k8s.io"
# Written outside of our folder, because kubelet and containerd have no setting for them.
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_LOG_LINKS = Path("/var/log/containers")
_NETWORK_RESULTS = Path("/var/lib/cni/results")
_SHIM_SOCKETS = Path("/run/containerd/s")
_SANDBOXES = "containerd/state/io.containerd.grpc.v1.cri/sandboxes/*"
_SHIMS = "containerd/state/io.containerd.runtime.v2.task/k8s.io/*"
_MACHINES = (FIRST, SECOND_MACHINE)


def clean() -> None:
    """End every process, container, mount, loop device and network of the cluster, then its folder.

    Raises:
        RuntimeError: Something is still mounted below the folder, which is then kept.
    """
    if not STATE.exists():
        return
    _kill_processes()
    for machine in _MACHINES:
        kill_containers(machine)
    unmount_below(STATE)
    _detach_loop_devices()
    _remove_strays()
    _remove_cgroups()
    ways.remove_address()
    left = mounts_below(STATE)
    if left:
        raise RuntimeError(f"still mounted, so {STATE} is kept: {', '.join(map(str, left))}")
    shutil.rmtree(STATE)


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points in and at a folder, the last mounted first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split()[4].replace("\\040", " ")) for line in reversed(lines)]
    return [point for point in points if point.is_relative_to(folder)]


def _kill_processes() -> None:
    records = list(PROCESSES.iterdir()) if PROCESSES.exists() else []
    for record in sorted(records, key=lambda record: not record.name.startswith(_KILL_FIRST)):
        stop_recorded(record, with_signal=signal.SIGKILL)


def kill_containers(machine: Machine) -> None:
    """End all that runs in the containers of a node; its containerd has ended before."""
    for pid in _container_processes(machine):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not list(_container_processes(machine)), seconds=10)


def _container_processes(machine: Machine) -> Iterator[int]:
    """Find the shims of a containerd, and what runs in their containers.

    A shim names its containerd in its arguments; a container's process is a child of its shim.
    """
    shims = {pid for pid in _pids() if str(machine.socket) in _arguments(pid)}
    # Children first: a shim's children would be adopted by init and no longer be found.
    yield from (pid for pid in _pids() if _parent(pid) in shims)
    yield from shims


def unmount_below(folder: Path) -> None:
    """Unmount what is mounted in and at a folder, the last mount first."""
    for point in mounts_below(folder):
        subprocess.run(["umount", point], check=False)


def _detach_loop_devices() -> None:
    for device in loop_devices_below(STATE):
        subprocess.run(["losetup", "--detach", device], check=True)


def _remove_strays() -> None:
    for stray in _strays():
        stray.unlink()
    for folder in (_DEVICE_PLUGINS, _LOG_LINKS, _NETWORK_RESULTS, _SHIM_SOCKETS):
        with contextlib.suppress(OSError):  # not there, or something else is in it
            folder.rmdir()
            folder.parent.rmdir()


def _strays() -> list[Path]:
    boxes = [box for machine in _MACHINES for box in machine.folder.glob(_SANDBOXES)]
    results = [path for box in boxes for path in _NETWORK_RESULTS.glob(f"*-{box.name}-*")]
    logs = [link for link in _LOG_LINKS.glob("*") if link.readlink().is_relative_to(STATE)]
    # The containers of a pod share a shim.
    addresses = {
        shim.read_text().removeprefix("unix://")
        for machine in _MACHINES
        for shim in machine.folder.glob(f"{_SHIMS}/address")
    }
    sockets = [Path(address) for address in addresses if Path(address).exists()]
    return [*results, *logs, *sockets, *_DEVICE_PLUGINS.glob("kubelet*")]


def _remove_cgroups() -> None:
    for group in Path("/sys/fs/cgroup").glob(f"*/{_CONTAINER_CGROUPS}"):
        for folder, _, _ in os.walk(group, topdown=False):
            # One that sleeps in the kernel, such as in a sync that waits for another's dead disk,
            # can't be killed; its group is in nobody's way.
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _arguments(pid: int) -> list[str]:
    return _read(pid, "cmdline").split("\0")


def _parent(pid: int) -> int | None:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else None


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # ended meanwhile
