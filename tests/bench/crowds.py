"""Everything at once that is no claim: hundreds of volumes expanded, and hundreds of snapshots."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from csi_exoblock.pb import csi_pb2_grpc
from tests.bench.figures import Goal, Spread, digits, milliseconds, table
from tests.bench.prober import probing
from tests.bench.processes import footprint
from tests.bench.stage import Stage, controller_of
from tests.bench.storm import PROVISIONER_WORKERS, Sidecars
from tests.controller import requests as csi
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

# As csi-resizer and csi-snapshotter have by default; the chart gives them more.
WORKERS = 10

_RSS_MIB = 96.0
_GIB = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """One thing that was asked of many volumes at once.

    Attributes:
        rpc_seconds: Of answered calls, by RPC.
        repeated: Calls that the sidecar had to make again.
    """

    what: str
    volumes: int
    seconds: float
    api_calls: int
    calls: dict[str, int]
    repeated: int
    rpc_seconds: dict[str, Spread]
    probe_seconds: float
    rss_mib: float

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.volumes} volumes at once, {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowds:
    """What the section found."""

    crowds: tuple[Crowd, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised (S21)."""
        for crowd in self.crowds:
            yield Goal.at_most(
                f"{crowd.name}: memory of the controller after it", _RSS_MIB, crowd.rss_mib, " MiB"
            )
            yield Goal.at_most(f"{crowd.name}: Probe, worst", 1.0, crowd.probe_seconds, " s")

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## Crowds of volumes"
        yield ""
        yield (
            f"Volumes that exist are all expanded, or get a snapshot that is deleted again, by a "
            f"sidecar with {WORKERS} workers; operations take 0.3 s, except resize, which has none."
        )
        yield ""
        head = ("what", "time", "API calls", "repeated RPCs", "Probe, worst", "memory after")
        yield from table(head, map(_cells, self.crowds))
        for crowd in self.crowds:
            calls = ", ".join(f"{count} {operation}" for operation, count in crowd.calls.items())
            waits = ", ".join(
                f"{rpc} {each.median:.{digits(each.median)}f} s ({each.p99:.{digits(each.p99)}f} s)"
                for rpc, each in crowd.rpc_seconds.items()
            )
            yield f"- {crowd.name}: {calls}; median (p99) of {waits}"
        yield ""

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


def measure(stage: Stage) -> Crowds:
    """Make the volumes once, and ask one thing after the other of all of them."""
    count = stage.plan.crowd_size
    with stage.cloud(latency_seconds=0.3) as cloud, stage.controller(cloud) as driver:
        stage.say(f"crowds: {count} volumes are made")
        controller = controller_of(driver)
        with ThreadPoolExecutor(PROVISIONER_WORKERS) as provisioner:
            ids = list(provisioner.map(lambda number: _made(controller, number), range(count)))
        expanded = _ask_of_all(stage, cloud, driver, ids, "expanded", _expand)
        assert {volume["size"] for volume in cloud.volumes()} == {_GIB}
        kept = _ask_of_all(stage, cloud, driver, ids, "a snapshot made and deleted", _snapshot)
        assert not cloud.snapshots()
        return Crowds(crowds=(expanded, kept))


def _made(controller: csi_pb2_grpc.ControllerStub, number: int) -> str:
    return controller.CreateVolume(csi.create_volume(f"pvc-{number}")).volume.volume_id


def _expand(sidecar: Sidecars, workers: ThreadPoolExecutor, controller: Any, volume: str) -> None:
    sidecar.insist(workers, controller.ControllerExpandVolume, csi.expand(volume, _GIB))


def _snapshot(sidecar: Sidecars, workers: ThreadPoolExecutor, controller: Any, volume: str) -> None:
    taking = csi.create_snapshot(f"snapshot-{volume.split('/')[1]}", volume)
    taken = sidecar.insist(workers, controller.CreateSnapshot, taking).snapshot
    gone = csi.delete_snapshot(taken.snapshot_id)
    sidecar.insist(workers, controller.DeleteSnapshot, gone)


def _ask_of_all(
    stage: Stage,
    cloud: SimulatorProcess,
    driver: DriverProcess,
    volumes: Sequence[str],
    what: str,
    ask: Callable[[Sidecars, ThreadPoolExecutor, Any, str], None],
) -> Crowd:
    stage.say(f"crowds: {len(volumes)} volumes at once, {what}")
    sidecar, controller = Sidecars(driver, iter(())), controller_of(driver)
    cloud.clear_calls()
    began = time.monotonic()
    with (
        probing(driver.socket) as probes,
        ThreadPoolExecutor(WORKERS) as workers,
        ThreadPoolExecutor(len(volumes)) as users,
    ):
        try:
            list(users.map(lambda volume: ask(sidecar, workers, controller, volume), volumes))
        except BaseException:
            sidecar.stop()
            raise
        seconds = time.monotonic() - began
    calls = [call.operation for call in cloud.calls()]
    return Crowd(
        what=what,
        volumes=len(volumes),
        seconds=seconds,
        api_calls=len(calls),
        calls=dict(Counter(calls).most_common()),
        repeated=sidecar.repeated,
        rpc_seconds={rpc: Spread.of(each) for rpc, each in sidecar.seconds.items()},
        probe_seconds=probes.worst_seconds,
        rss_mib=footprint(driver.pid).rss_mib,
    )


def _cells(crowd: Crowd) -> tuple[str, ...]:
    return (
        crowd.name,
        f"{crowd.seconds:.1f} s",
        f"{crowd.api_calls:,}",
        f"{crowd.repeated}",
        milliseconds(crowd.probe_seconds),
        f"{crowd.rss_mib} MiB",
    )
