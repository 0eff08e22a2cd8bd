"""A volume's life, one RPC after the other: how much longer than the cloud's own time it takes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from csi_exoblock.pb import csi_pb2
from tests.bench import pictures
from tests.bench.figures import Goal, Spread, milliseconds, table
from tests.bench.stage import Stage, controller_of
from tests.bench.traces import Trace, Watch
from tests.controller import requests as csi
from tests.support.simulator_process import SimulatorProcess

_RATIOS = {0.3: 1.15, 2.0: 1.05}
_CALLS = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One RPC at one latency.

    Attributes:
        ratio: Of its time to that of its operations, `None` where it has none.
        api_calls: Median.
    """

    rpc: str
    seconds: Spread
    ratio: Spread | None
    api_calls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """All lives at one latency.

    Attributes:
        first_ratio: Of the first life, in which the driver has not yet learnt how long things take.
    """

    latency_seconds: float
    rows: tuple[Row, ...]
    ratio: Spread
    first_ratio: float
    api_calls: Spread
    typical: tuple[Trace, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """What the section found."""

    lives: tuple[Lives, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        for each in self.lives:
            if limit := _RATIOS.get(each.latency_seconds):
                what = f"lifecycle, operations of {each.latency_seconds:g} s"
                yield Goal.at_most(
                    f"{what}: its time", limit, each.ratio.median, " times the cloud's"
                )
                yield Goal.at_most(f"{what}: API calls", _CALLS, each.api_calls.median)

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## A volume's life"
        yield ""
        yield (
            "Create, attach, detach, snapshot, delete it, expand, delete: one RPC after the other. "
            "The ratio is to the cloud's own time: the sum of its operations' latencies."
        )
        yield ""
        for each in self.lives:
            yield (
                f"Operations of {each.latency_seconds:g} s, {each.ratio.count} lives; the ratio of "
                f"the first, before the driver knows how long things take: {each.first_ratio:.2f}"
            )
            yield ""
            yield from table(
                ("RPC", "median", "p99", "ratio", "its p99", "API calls"),
                [*(_cells(row) for row in each.rows), _total(each)],
            )
        yield "![who waited for what in one life](lifecycle.svg)"
        yield ""

    def pictures(self) -> dict[str, str]:
        """Draw one life: the typical one, where an operation takes about 0.3 s."""
        shown = min(self.lives, key=lambda each: abs(each.latency_seconds - 0.3))
        return {"lifecycle.svg": pictures.life(shown.typical, shown.latency_seconds)}


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.rpc,
        milliseconds(row.seconds.median),
        milliseconds(row.seconds.p99),
        f"{row.ratio.median:.2f}" if row.ratio else "",
        f"{row.ratio.p99:.2f}" if row.ratio else "",
        f"{row.api_calls:g}",
    )


def _total(lives: Lives) -> tuple[str, ...]:
    seconds = sum(row.seconds.median for row in lives.rows)
    return (
        "**all**",
        milliseconds(seconds),
        "",
        f"**{lives.ratio.median:.2f}**",
        f"{lives.ratio.p99:.2f}",
        f"**{lives.api_calls.median:g}**",
    )


def measure(stage: Stage) -> Lifecycle:
    """Let volumes live at every latency."""
    return Lifecycle(lives=tuple(_lives(stage, *each) for each in stage.plan.lifecycles))


def _lives(stage: Stage, latency_seconds: float, count: int) -> Lives:
    stage.say(f"lifecycle: {count} lives, operations of {latency_seconds:g} s")
    with stage.cloud(latency_seconds=latency_seconds) as cloud, stage.controller(cloud) as driver:
        controller = controller_of(driver)
        lives = [_live(cloud, controller, f"pvc-{number}") for number in range(count)]
    ratios = [_ratio(life) for life in lives]
    median = statistics.median_low(ratios)
    return Lives(
        latency_seconds=latency_seconds,
        rows=tuple(_row(traces) for traces in zip(*lives, strict=True)),
        ratio=Spread.of(ratios),
        first_ratio=ratios[0],
        api_calls=Spread.of(sum(len(trace.requests) for trace in life) for life in lives),
        typical=lives[ratios.index(median)],
    )


def _live(cloud: SimulatorProcess, controller: Any, name: str) -> tuple[Trace, ...]:
    watch = Watch(cloud)
    zone = cloud.zones[0]
    node = f"{zone}/{cloud.add_instance(zone)}"

    def call(rpc: str, request: Any) -> Any:
        send: Callable[[Any], Any] = getattr(controller, rpc)
        return watch.follow(rpc, lambda: send(request))

    volume: csi_pb2.Volume = call("CreateVolume", csi.create_volume(name)).volume
    call("ControllerPublishVolume", csi.publish(volume.volume_id, node))
    call("ControllerUnpublishVolume", csi.unpublish(volume.volume_id, node))
    snapshot = call("CreateSnapshot", csi.create_snapshot(name, volume.volume_id)).snapshot
    call("DeleteSnapshot", csi.delete_snapshot(snapshot.snapshot_id))
    call("ControllerExpandVolume", csi.expand(volume.volume_id, 2))
    call("DeleteVolume", csi.delete_volume(volume.volume_id))
    assert not cloud.volumes()
    return tuple(watch.traces)


def _ratio(life: tuple[Trace, ...]) -> float:
    return sum(each.seconds for each in life) / sum(each.cloud_seconds for each in life)


def _row(traces: tuple[Trace, ...]) -> Row:
    ratios = [each.seconds / each.cloud_seconds for each in traces if each.cloud_seconds]
    return Row(
        rpc=traces[0].rpc,
        seconds=Spread.of(each.seconds for each in traces),
        ratio=Spread.of(ratios) if ratios else None,
        api_calls=statistics.median(len(each.requests) for each in traces),
    )
