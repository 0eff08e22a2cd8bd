"""The node's RPCs on real disks: loop devices of 1 GiB with sectors of 4096 bytes."""

from __future__ import annotations

import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from prometheus_client.parser import text_string_to_metric_families

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.bench.figures import Goal, Spread, milliseconds, table
from tests.bench.stage import Stage
from tests.controller.requests import capability
from tests.node.disks import Disk, attached_disk
from tests.support.driver_process import DriverProcess
from tests.support.ports import free_port

FILESYSTEMS = ("ext4", "xfs")
FORMAT = {"format": "ifBlank"}

# Of ext4, in milliseconds; what the vendor's Go driver 0.34.3 takes on a machine like this one.
_LIMITS = {
    "NodeStageVolume": 44.0,
    "NodePublishVolume": 8.0,
    "NodeGetVolumeStats": 1.0,
    "NodeUnpublishVolume": 4.0,
    "NodeUnstageVolume": 18.0,
}
_AGAIN = "NodeStageVolume, formatted before"
_SHORT_CALLS_PER_LIFE = 5
_COMMANDS = "csi_exoblock_host_command_seconds"
_UNITS = {"count": 1, "sum": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One RPC with one file system.

    Attributes:
        commands: What it runs on the host, and how often each time.
        command_seconds: How long these take together, on average, in lives that were not timed.
    """

    rpc: str
    filesystem: str
    seconds: Spread
    commands: dict[str, float]
    command_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What the section found."""

    rows: tuple[Row, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        for row in self.rows:
            if row.filesystem == "ext4" and (limit := _LIMITS.get(row.rpc)):
                what = f"{row.rpc}, ext4 on 1 GiB"
                yield Goal.at_most(what, limit, row.seconds.median * 1000, " ms")

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## On the node"
        yield ""
        yield (
            "Loop devices of 1 GiB with sectors of 4096 bytes. The commands are those of the host "
            "that the driver runs for one call, and the time that they take of it. Probe does "
            "nothing, so what it takes is gRPC's part of every call, caller included."
        )
        yield ""
        yield from table(
            ("RPC", "file system", "median", "p99", "of it commands", "which"),
            map(_cells, self.rows),
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
    """Let volumes come to the node and leave it, with each file system in turn."""
    folder, port = stage.new_folder(), free_port()
    stage.say(f"node: {stage.plan.node_lives} lives with {' and '.join(FILESYSTEMS)}")
    with stage.node(folder, "--http-endpoint", f"127.0.0.1:{port}") as driver:
        times = {each: Times(driver) for each in FILESYSTEMS}
        commands = {
            each: Commands(driver, f"http://127.0.0.1:{port}/metrics") for each in FILESYSTEMS
        }
        # These come first: the first life of all loads modules, and counts for no time.
        _live_all(commands, folder, stage.plan.node_lives_watched)
        _live_all(times, folder, stage.plan.node_lives)
    return Node(
        rows=tuple(
            Row(
                rpc=rpc,
                filesystem=each,
                seconds=Spread.of(seconds),
                commands=commands[each].counts(rpc),
                command_seconds=commands[each].seconds(rpc),
            )
            for each in FILESYSTEMS
            for rpc, seconds in times[each].seconds.items()
        )
    )


def _live_all(calls: Mapping[str, Calls], folder: pathlib.Path, times: int) -> None:
    for _ in range(times):
        for filesystem, each in calls.items():
            live(each, folder, filesystem)


def live(calls: Calls, folder: pathlib.Path, filesystem: str) -> None:
    """Let one volume on a new disk come and leave, come again as it is, and leave."""
    with attached_disk(folder, folder / "by-id") as disk:
        paths = folder / "kubelet" / disk.path.name
        staging, target = paths / "globalmount", paths / "pod" / "mount"
        target.parent.mkdir(parents=True, exist_ok=True)
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
        milliseconds(row.command_seconds),
        commands or "none",
    )
