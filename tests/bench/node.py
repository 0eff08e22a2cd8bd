"""The node's RPCs on real disks: loop devices of 1 GiB with sectors of 4096 bytes."""

from __future__ import annotations

import pathlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import requests
from prometheus_client.parser import text_string_to_metric_families

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.bench.figures import Goal, Spread, milliseconds, table
from tests.bench.floor import Floor
from tests.bench.plan import Plan
from tests.bench.stage import Stage
from tests.controller.requests import capability
from tests.node.disks import Disk, attached_disk
from tests.support.driver_process import DriverProcess
from tests.support.ports import free_port

FILESYSTEMS = ("ext4", "xfs")
FORMAT = {"format": "ifBlank"}

_AGAIN = "NodeStageVolume, formatted before"
# What was promised: how often the time of its floor an RPC may take.
_FLOORS = {
    "NodeStageVolume": 1.5,
    _AGAIN: 2.0,
    "NodePublishVolume": 1.5,
    "NodeUnpublishVolume": 1.5,
    "NodeUnstageVolume": 1.5,
}
# Statistics have no command; their floor is an RPC that does nothing.
_PROBES = 2.0
# How often the time of one volume alone the slowest of a crowd may take.
_CROWD = 3.0
_SHORT_CALLS_PER_LIFE = 5
_COMMANDS = "csi_exoblock_host_command_seconds"
_UNITS = {"count": 1, "sum": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One RPC with one file system.

    Attributes:
        floor: How long its commands and system calls take with nothing proven, if it has any.
        commands: What it runs on the host, and how often each time.
        command_seconds: How long these take together, on average, in lives that were not timed.
    """

    rpc: str
    filesystem: str
    seconds: Spread
    floor: Spread | None
    commands: dict[str, float]
    command_seconds: float

    @property
    def floors(self) -> float | None:
        """How many times its floor it takes."""
        return self.seconds.median / self.floor.median if self.floor else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """One RPC for many volumes at once, each on an ext4 of its own.

    Attributes:
        alone_seconds: What one volume takes, the median.
        slowest_seconds: What the slowest of them took, the median of some rounds.
        floor_seconds: The same of the commands and system calls with nothing proven.
    """

    rpc: str
    volumes: int
    alone_seconds: float
    slowest_seconds: float
    floor_seconds: float

    @property
    def times(self) -> float:
        """How many times as long as one alone the slowest took."""
        return self.slowest_seconds / self.alone_seconds

    @property
    def floors(self) -> float:
        """How many times as long as the commands, all at once, the slowest took."""
        return self.slowest_seconds / self.floor_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What the section found."""

    rows: tuple[Row, ...]
    crowds: tuple[Crowd, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        probes = {row.filesystem: row.seconds for row in self.rows if row.rpc == "Probe"}
        for row in self.rows:
            if row.floors is not None:
                what = f"{row.rpc}, {row.filesystem}: times its commands alone"
                yield Goal.at_most(what, _FLOORS[row.rpc], row.floors)
            if row.rpc == "NodeGetVolumeStats":
                what = f"{row.rpc}, {row.filesystem}: times an RPC that does nothing"
                times = row.seconds.median / probes[row.filesystem].median
                yield Goal.at_most(what, _PROBES, times)
        for crowd in self.crowds:
            what = f"{crowd.rpc}, {crowd.volumes} at once: slowest, times one alone"
            yield Goal.at_most(what, _CROWD, crowd.times)

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## On the node"
        yield ""
        yield (
            "Loop devices of 1 GiB with sectors of 4096 bytes. The commands are those of the host "
            "that the driver runs for one call, and the time that they take of it. Probe does "
            "nothing, so what it takes is gRPC's part of every call, caller included. The floor is "
            "the same work done by a script that proves nothing: blkid, mkfs or e2fsck, mount; a "
            "bind mount; umount; syncfs and umount. Both take turns on new disks."
        )
        yield ""
        yield from table(
            ("RPC", "file system", "median", "p99", "floor", "times", "of it commands", "which"),
            map(_cells, self.rows),
        )
        yield (
            "Many volumes at once, ext4, all calls of one kind sent together. The floor is the "
            "slowest of as many scripts at once, on the same processors:"
        )
        yield ""
        yield from table(
            ("RPC", "volumes", "one alone", "slowest", "times", "floor", "times the floor"),
            (
                (
                    each.rpc,
                    each.volumes,
                    milliseconds(each.alone_seconds),
                    milliseconds(each.slowest_seconds),
                    f"{each.times:.1f}",
                    milliseconds(each.floor_seconds),
                    f"{each.floors:.1f}",
                )
                for each in self.crowds
            ),
        )

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


class Calls(Protocol):
    """What makes the calls of a life, and measures them."""

    def call(self, rpc: str, request: Any, *, name: str = "") -> None:
        """Make a call.

        Args:
            name: Under which it counts, if not its own.
        """


class Times:
    """How long each RPC takes."""

    def __init__(self, driver: DriverProcess) -> None:
        self._services = _Services(driver)
        self.seconds: dict[str, list[float]] = {}

    def call(self, rpc: str, request: Any, *, name: str = "") -> None:
        """Make a call, and time it."""
        send = self._services.sender(rpc)
        began = time.perf_counter()
        send(request)
        self.seconds.setdefault(name or rpc, []).append(time.perf_counter() - began)


class Commands:
    """What each RPC runs on the host, by the driver's metrics; to read them slows the next call."""

    def __init__(self, driver: DriverProcess, metrics_url: str) -> None:
        self._services = _Services(driver)
        self._metrics_url = metrics_url
        self._session = requests.Session()
        self._session.trust_env = False
        self._calls: Counter[str] = Counter()
        self._found: dict[str, Counter[tuple[str, str]]] = {}

    def call(self, rpc: str, request: Any, *, name: str = "") -> None:
        """Make a call, and find out what it ran."""
        before = self._so_far()
        self._services.sender(rpc)(request)
        after = self._so_far()
        after.subtract(before)
        self._calls[name or rpc] += 1
        self._found.setdefault(name or rpc, Counter()).update(after)

    def counts(self, rpc: str) -> dict[str, float]:
        """Return how often an RPC runs each command, on average."""
        return {command: each for (command, _), each in self._average(rpc, "count") if each}

    def seconds(self, rpc: str) -> float:
        """Return how long the commands of an RPC take together, on average."""
        return sum(each for _, each in self._average(rpc, "sum")) / _UNITS["sum"]

    def _average(self, rpc: str, what: str) -> list[tuple[tuple[str, str], float]]:
        calls = self._calls[rpc]
        return [(key, each / calls) for key, each in self._found[rpc].items() if key[1] == what]

    def _so_far(self) -> Counter[tuple[str, str]]:
        """Return how often each command ran so far, and for how many microseconds all in all."""
        found: Counter[tuple[str, str]] = Counter()
        text = self._session.get(self._metrics_url, timeout=30).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples if family.name == _COMMANDS else ():
                what = sample.name.removeprefix(f"{_COMMANDS}_")
                if what in _UNITS:
                    found[sample.labels["command"], what] += round(sample.value * _UNITS[what])
        return found


class _Services:
    def __init__(self, driver: DriverProcess) -> None:
        self._node = csi_pb2_grpc.NodeStub(driver.channel)
        self._identity = csi_pb2_grpc.IdentityStub(driver.channel)

    def sender(self, rpc: str) -> Callable[[Any], Any]:
        send: Callable[[Any], Any] = getattr(self._identity if rpc == "Probe" else self._node, rpc)
        return send


def measure(stage: Stage) -> Node:
    """Let volumes come to the node and leave it, with each file system in turn, then many."""
    folder, port = stage.new_folder(), free_port()
    stage.say(f"node: {stage.plan.node_lives} lives with {' and '.join(FILESYSTEMS)}")
    with stage.node(folder, "--http-endpoint", f"127.0.0.1:{port}") as driver:
        times = {each: Times(driver) for each in FILESYSTEMS}
        floors = {each: Floor(folder / "by-id") for each in FILESYSTEMS}
        commands = {
            each: Commands(driver, f"http://127.0.0.1:{port}/metrics") for each in FILESYSTEMS
        }
        # These come first: the first life of all loads modules, and counts for no time.
        _live_all((commands,), folder, stage.plan.node_lives_watched)
        _live_all((times, floors), folder, stage.plan.node_lives)
        stage.say(f"node: {stage.plan.node_crowd} volumes at once")
        crowds = tuple(_measure_crowd(driver, folder, stage.plan, times["ext4"]))
    return Node(
        rows=tuple(
            Row(
                rpc=rpc,
                filesystem=each,
                seconds=Spread.of(seconds),
                floor=Spread.of(floors[each].seconds[rpc]) if rpc in _FLOORS else None,
                commands=commands[each].counts(rpc),
                command_seconds=commands[each].seconds(rpc),
            )
            for each in FILESYSTEMS
            for rpc, seconds in times[each].seconds.items()
        ),
        crowds=crowds,
    )


def _live_all(kinds: Sequence[Mapping[str, Calls]], folder: pathlib.Path, times: int) -> None:
    for _ in range(times):
        for calls in kinds:
            for filesystem, each in calls.items():
                live(each, folder, filesystem)


def _measure_crowd(
    driver: DriverProcess, folder: pathlib.Path, plan: Plan, alone: Times
) -> Iterator[Crowd]:
    slowest: dict[str, list[float]] = {}
    floors: dict[str, list[float]] = {}
    for _ in range(plan.node_crowd_rounds):
        for calls, found in ((Times(driver), slowest), (Floor(folder / "by-id"), floors)):
            _live_together(calls, folder, plan.node_crowd)
            for rpc, seconds in calls.seconds.items():
                found.setdefault(rpc, []).append(max(seconds))
    for rpc, each in slowest.items():
        yield Crowd(
            rpc=rpc,
            volumes=plan.node_crowd,
            alone_seconds=statistics.median(alone.seconds[rpc]),
            slowest_seconds=statistics.median(each),
            floor_seconds=statistics.median(floors[rpc]),
        )


def _live_together(calls: Times | Floor, folder: pathlib.Path, size: int) -> None:
    """Let volumes come and leave together, all calls of one RPC at once."""
    with ExitStack() as disks, ThreadPoolExecutor(size) as callers:
        crowd = []
        for _ in range(size):
            disk = disks.enter_context(attached_disk(folder, folder / "by-id"))
            crowd.append((disk, *paths_in(folder / "kubelet" / disk.path.name)))
        requests_of: dict[str, list[Any]] = {
            "NodeStageVolume": [stage_volume(disk, at, "ext4") for disk, at, _ in crowd],
            "NodePublishVolume": [publish_volume(disk, at, to, "ext4") for disk, at, to in crowd],
            "NodeUnpublishVolume": [unpublish_volume(disk, to) for disk, _, to in crowd],
            "NodeUnstageVolume": [unstage_volume(disk, at) for disk, at, _ in crowd],
        }
        for rpc, each in requests_of.items():
            list(callers.map(partial(calls.call, rpc), each))


def paths_in(paths: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Return where a volume is staged and published in a folder; kubelet makes their parents."""
    staging, target = paths / "globalmount", paths / "pod" / "mount"
    target.parent.mkdir(parents=True, exist_ok=True)
    return staging, target


def live(calls: Calls, folder: pathlib.Path, filesystem: str) -> None:
    """Let one volume on a new disk come and leave, come again as it is, and leave."""
    with attached_disk(folder, folder / "by-id") as disk:
        staging, target = paths_in(folder / "kubelet" / disk.path.name)
        calls.call("NodeStageVolume", stage_volume(disk, staging, filesystem))
        calls.call("NodePublishVolume", publish_volume(disk, staging, target, filesystem))
        for _ in range(_SHORT_CALLS_PER_LIFE):
            calls.call("Probe", csi_pb2.ProbeRequest())
            calls.call("NodeGetVolumeStats", volume_stats(disk, target))
        calls.call("NodeUnpublishVolume", unpublish_volume(disk, target))
        calls.call("NodeUnstageVolume", unstage_volume(disk, staging))
        calls.call("NodeStageVolume", stage_volume(disk, staging, filesystem), name=_AGAIN)
        calls.call("NodeUnstageVolume", unstage_volume(disk, staging))


def stage_volume(
    disk: Disk, staging: pathlib.Path, filesystem: str
) -> csi_pb2.NodeStageVolumeRequest:
    """Ask for a disk to be staged, and formatted if it is blank."""
    return csi_pb2.NodeStageVolumeRequest(
        volume_id=disk.volume_id,
        staging_target_path=str(staging),
        volume_capability=capability(filesystem),
        volume_context=FORMAT,
    )


def publish_volume(
    disk: Disk, staging: pathlib.Path, target: pathlib.Path, filesystem: str
) -> csi_pb2.NodePublishVolumeRequest:
    """Ask for a staged volume to be shown at a target."""
    return csi_pb2.NodePublishVolumeRequest(
        volume_id=disk.volume_id,
        staging_target_path=str(staging),
        target_path=str(target),
        volume_capability=capability(filesystem),
    )


def volume_stats(disk: Disk, target: pathlib.Path) -> csi_pb2.NodeGetVolumeStatsRequest:
    """Ask how full a published volume is."""
    return csi_pb2.NodeGetVolumeStatsRequest(volume_id=disk.volume_id, volume_path=str(target))


def unpublish_volume(disk: Disk, target: pathlib.Path) -> csi_pb2.NodeUnpublishVolumeRequest:
    """Ask for a target to be taken away."""
    return csi_pb2.NodeUnpublishVolumeRequest(volume_id=disk.volume_id, target_path=str(target))


def unstage_volume(disk: Disk, staging: pathlib.Path) -> csi_pb2.NodeUnstageVolumeRequest:
    """Ask for a volume to leave."""
    return csi_pb2.NodeUnstageVolumeRequest(
        volume_id=disk.volume_id, staging_target_path=str(staging)
    )


def _cells(row: Row) -> tuple[str, ...]:
    commands = ", ".join(
        name if count == 1 else f"{count:g} {name}" for name, count in row.commands.items()
    )
    return (
        row.rpc,
        row.filesystem,
        milliseconds(row.seconds.median),
        milliseconds(row.seconds.p99),
        milliseconds(row.floor.median) if row.floor else "none",
        f"{row.floors:.2f}" if row.floors else "",
        milliseconds(row.command_seconds),
        commands or "none",
    )
