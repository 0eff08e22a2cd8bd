"""Whether processes grow: an hour of claims in fast time, and a thousand volumes on a node."""

from __future__ import annotations

import itertools
import pathlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from csi_exoblock.pb import csi_pb2_grpc
from tests.bench.figures import Goal, table
from tests.bench.node import (
    paths_in,
    publish_volume,
    stage_volume,
    unpublish_volume,
    unstage_volume,
    volume_stats,
)
from tests.bench.processes import Footprint, footprint
from tests.bench.stage import Stage
from tests.bench.storm import Sidecars
from tests.node.disks import attached_disk
from tests.support.driver_process import DriverProcess

_SAMPLES = 12
_NODE_RSS_MIB = 48.0

# What an allocator may keep more or less of from one moment to the next.
_NOISE_MIB = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a process has after so much work."""

    done: int
    footprint: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Churn:
    """What the section about the controller found.

    Attributes:
        samples: In equal steps of time; `done` counts claims that came and went.
    """

    hours: float
    samples: tuple[Sample, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        half, last = self.samples[len(self.samples) // 2], self.samples[-1]
        yield Goal.at_most(
            f"controller, {last.done:,} claims in {self.hours:g} h of its time: "
            "growth in the second half",
            _NOISE_MIB,
            last.footprint.rss_mib - half.footprint.rss_mib,
            " MiB",
        )

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## Churn at the controller"
        yield ""
        yield (
            f"Claims come and go for {self.hours:g} h of the driver's time, which passes faster "
            "than anybody's else: every age and interval that it knows is reached."
        )
        yield ""
        yield from _growth("claims", self.samples)

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """What the section about the node found."""

    samples: tuple[Sample, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        _, early, late = self.samples
        yield Goal.at_most(
            f"node, after {early.done:,} volumes came and went: its memory",
            _NODE_RSS_MIB,
            early.footprint.rss_mib,
            " MiB",
        )
        yield Goal.at_most(
            f"node, from the {early.done:,}th to the {late.done:,}th volume: growth",
            _NOISE_MIB,
            late.footprint.rss_mib - early.footprint.rss_mib,
            " MiB",
        )

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## Memory of the node"
        yield ""
        yield "Volumes are staged, formatted, published, measured, unpublished and unstaged."
        yield ""
        yield from _growth("volumes", self.samples)

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


def measure(stage: Stage) -> Churn:
    """Let claims come and go at a controller that lives faster."""
    scale, hours = stage.plan.churn_time_scale, stage.plan.churn_hours
    step = hours * 3600 * scale / _SAMPLES
    stage.say(f"churn: {hours:g} h in {_SAMPLES * step:.0f} s")
    with (
        stage.cloud(latency_seconds=0.3, time_scale=scale) as cloud,
        stage.controller(cloud, time_scale=scale) as driver,
    ):
        zone = cloud.zones[0]
        node_id = f"{zone}/{cloud.add_instance(zone)}"
        ending = threading.Event()
        done: list[int] = []

        sidecars = Sidecars(driver, iter(lambda: node_id, None))

        def come_and_go(worker: int) -> None:
            for number in itertools.count():
                if ending.is_set():
                    return
                sidecars.serve([f"pvc-{worker}-{number}"])
                done.append(number)

        samples = [Sample(done=0, footprint=footprint(driver.pid))]
        with ThreadPoolExecutor(stage.plan.churn_claims) as workers:
            running = [workers.submit(come_and_go, each) for each in range(stage.plan.churn_claims)]
            try:
                for _ in range(_SAMPLES):
                    stage.pause(step)
                    samples.append(Sample(done=len(done), footprint=footprint(driver.pid)))
            except BaseException:
                sidecars.stop()
                raise
            finally:
                ending.set()
            for each in running:
                each.result()
        return Churn(hours=hours, samples=tuple(samples))


def measure_node(stage: Stage) -> NodeMemory:
    """Let many volumes come to a node and leave it."""
    folder = stage.new_folder()
    with stage.node(folder) as driver:
        samples = [Sample(done=0, footprint=footprint(driver.pid))]
        done = 0
        for until in stage.plan.node_volumes:
            stage.say(f"node memory: volumes {done + 1} to {until}")
            while done < until:
                _come_and_go(driver, folder)
                done += 1
            samples.append(Sample(done=done, footprint=footprint(driver.pid)))
    return NodeMemory(samples=tuple(samples))


def _come_and_go(driver: DriverProcess, folder: pathlib.Path) -> None:
    node = csi_pb2_grpc.NodeStub(driver.channel)
    with attached_disk(folder, folder / "by-id") as disk:
        staging, target = paths_in(folder / "kubelet")
        node.NodeStageVolume(stage_volume(disk, staging, "ext4"))
        node.NodePublishVolume(publish_volume(disk, staging, target, "ext4"))
        node.NodeGetVolumeStats(volume_stats(disk, target))
        node.NodeUnpublishVolume(unpublish_volume(disk, target))
        node.NodeUnstageVolume(unstage_volume(disk, staging))


def _growth(what: str, samples: tuple[Sample, ...]) -> list[str]:
    rows = ((each.done, each.footprint) for each in samples)
    return table(
        (what, "memory", "threads", "open files"),
        ((f"{done:,}", f"{now.rss_mib} MiB", now.threads, now.files) for done, now in rows),
    )
