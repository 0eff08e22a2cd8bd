"""Many creates and deletes at once: what a hundred cost beside one, and beside a full zone."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench import pictures
from tests.bench.figures import Goal, Spread, milliseconds, table
from tests.bench.prober import probing
from tests.bench.processes import cpu_seconds
from tests.bench.stage import Stage, controller_of
from tests.bench.traces import Span, Trace, operations_of, requests_of
from tests.controller import requests as csi
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

_RATIOS = {0.3: 2.5, 2.0: 1.25}
_CALLS = 130
_GROWTH = 3.0
_PROBE_SECONDS = 1.0
_TIMEOUT_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Calls of one kind that all began at once.

    Attributes:
        seconds: Until the last answer.
        own_seconds: Processor time of the driver, for each of the calls.
        traces: One for each call, each with its operation, the first to be answered first.
        requests: All that the driver asked the cloud meanwhile.
    """

    began: float
    seconds: float
    own_seconds: float
    traces: tuple[Trace, ...]
    requests: tuple[Span, ...]

    def calls(self) -> Counter[str]:
        """Count the API calls by operation."""
        return Counter(each.what for each in self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Bursts of one kind at one latency.

    Attributes:
        ratio: Median of a burst's time divided by that of its median operation.
        calls: API calls of the burst that made the median number of them.
    """

    rpc: str
    count: int
    zone_size: int
    latency_seconds: float
    seconds: Spread
    ratio: float
    rpc_seconds: Spread
    own_seconds: Spread
    api_calls: Spread
    calls: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts:
    """What the section found.

    Attributes:
        probe_seconds: Worst of `probe_count` Probes while all these bursts went on.
        shown: A burst of creates, for the picture.
    """

    rows: tuple[Row, ...]
    probe_seconds: float
    probe_count: int
    shown: Burst
    shown_latency_seconds: float

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        for row in self.rows:
            if row.rpc == "CreateVolume" and (limit := _RATIOS.get(row.latency_seconds)):
                what = f"{row.count} creates at once in a zone of {row.zone_size:,}"
                yield Goal.at_most(
                    f"{what}: their time",
                    limit,
                    row.ratio,
                    f" times one operation of {row.latency_seconds:g} s",
                )
                yield Goal.at_most(
                    f"{what}, operations of {row.latency_seconds:g} s: API calls",
                    _CALLS,
                    row.api_calls.median,
                )
        yield Goal.at_most("Probe during these bursts, worst", 1.0, self.probe_seconds, " s")

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## At once"
        yield ""
        yield (
            "All calls are sent in the same moment. The ratio is of the time until the last answer "
            "to one operation's; own is the driver's processor time for each call."
        )
        yield ""
        yield from table(
            (
                "what",
                "zone",
                "operation",
                "all",
                "ratio",
                "one, median",
                "one, p99",
                "own",
                "API calls",
            ),
            map(_cells, self.rows),
        )
        for row in self.rows:
            yield f"- {row.count} {row.rpc} at {row.latency_seconds:g} s: {_in_words(row.calls)}"
        yield (
            f"- Probe during all of it: at most {milliseconds(self.probe_seconds)}, "
            f"{self.probe_count} times"
        )
        yield ""
        yield "![who waited for what in one burst](burst.svg)"
        yield ""

    def pictures(self) -> dict[str, str]:
        """Draw one burst of creates."""
        picture = pictures.burst(self.shown.traces, self.shown.requests, self.shown_latency_seconds)
        return {"burst.svg": picture}


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """What the section about full zones found."""

    rows: tuple[Row, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        least, most = self.rows[0], self.rows[-1]
        yield Goal.at_most(
            f"driver's own time for each of {most.count} creates at once, "
            f"zone of {most.zone_size:,} beside one of {least.zone_size:,}",
            _GROWTH,
            most.own_seconds.median / least.own_seconds.median,
            " times",
        )

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## Full zones"
        yield ""
        yield "The same burst of creates in a zone that holds more and more volumes of others."
        yield ""
        yield from table(
            (
                "what",
                "zone",
                "operation",
                "all",
                "ratio",
                "one, median",
                "one, p99",
                "own",
                "API calls",
            ),
            map(_cells, self.rows),
        )

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


def measure(stage: Stage) -> Bursts:
    """Let bursts of creates and deletes happen at every latency."""
    rows: list[Row] = []
    shown: dict[float, Burst] = {}
    worst, count = 0.0, 0
    for latency_seconds, times in stage.plan.bursts:
        size, zone_size = stage.plan.burst_size, stage.plan.zone_of_burst
        stage.say(f"burst: {times} times {size} creates, operations of {latency_seconds:g} s")
        with (
            stage.cloud(latency_seconds=latency_seconds) as cloud,
            stage.controller(cloud) as driver,
        ):
            cloud.add_volumes(cloud.zones[0], zone_size)
            with probing(driver.socket) as probes:
                pairs = [create_and_delete(cloud, driver, size, f"{n}-") for n in range(times)]
            worst, count = max(worst, probes.worst_seconds), count + probes.count
        creates, deletes = (tuple(bursts) for bursts in zip(*pairs, strict=True))
        rows += [_row(bursts, zone_size, latency_seconds) for bursts in (creates, deletes)]
        shown[latency_seconds] = _typical(creates)
    nearest = min(shown, key=lambda latency: abs(latency - 0.3))
    return Bursts(
        rows=tuple(rows),
        probe_seconds=worst,
        probe_count=count,
        shown=shown[nearest],
        shown_latency_seconds=nearest,
    )


def measure_zones(stage: Stage) -> Zones:
    """Let the same burst happen in zones of other sizes."""
    rows = []
    with stage.cloud(latency_seconds=0.3) as cloud, stage.controller(cloud) as driver:
        held = 0
        create_and_delete(cloud, driver, stage.plan.burst_size, "warm-")
        for size in stage.plan.zone_sizes:
            stage.say(f"zones: {stage.plan.zone_bursts} bursts in a zone of {size:,} volumes")
            cloud.add_volumes(cloud.zones[0], size - held, prefix=f"others-{size}-")
            held = size
            creates = tuple(
                create_and_delete(cloud, driver, stage.plan.burst_size, f"{size}-{number}-")[0]
                for number in range(stage.plan.zone_bursts)
            )
            rows.append(_row(creates, size, 0.3))
    return Zones(rows=tuple(rows))


def create_and_delete(
    cloud: SimulatorProcess, driver: DriverProcess, count: int, prefix: str
) -> tuple[Burst, Burst]:
    """Create a number of volumes at once, then delete them; return both bursts."""
    controller = controller_of(driver)
    creates, volumes = _burst(
        cloud,
        driver,
        controller.CreateVolume.future,
        [csi.create_volume(f"{prefix}{number}") for number in range(count)],
        lambda request, answer: str(answer.volume.volume_id),
    )
    deletes, _ = _burst(
        cloud,
        driver,
        controller.DeleteVolume.future,
        [csi.delete_volume(each) for each in volumes],
        lambda request, answer: str(request.volume_id),
    )
    return creates, deletes


def _burst(
    cloud: SimulatorProcess,
    driver: DriverProcess,
    send: Callable[..., Any],
    requests: list[Any],
    volume_of: Callable[[Any, Any], str],
) -> tuple[Burst, list[str]]:
    """Send all requests at once; return the burst, and which volume each was about."""
    cloud.clear_calls()
    ended: dict[int, float] = {}
    all_ended = threading.Event()

    def note(number: int) -> None:
        ended[number] = time.time()
        if len(ended) == len(requests):
            all_ended.set()

    own = cpu_seconds(driver.pid)
    began = time.time()
    calls = []
    for number, request in enumerate(requests):
        call = send(request, timeout=_TIMEOUT_SECONDS)
        call.add_done_callback(lambda _, number=number: note(number))
        calls.append(call)
    volumes = [volume_of(*pair) for pair in zip(requests, map(_result, calls), strict=True)]
    all_ended.wait(_TIMEOUT_SECONDS)
    own = cpu_seconds(driver.pid) - own
    operations = operations_of(cloud, after=began)
    traces = [
        Trace(
            rpc=type(request).__name__.removesuffix("Request"),
            began=began,
            seconds=ended[number] - began,
            requests=(),
            operations=operations[volume],
        )
        for number, (request, volume) in enumerate(zip(requests, volumes, strict=True))
    ]
    burst = Burst(
        began=began,
        seconds=max(ended.values()) - began,
        own_seconds=own / len(requests),
        traces=tuple(sorted(traces, key=lambda trace: trace.seconds)),
        requests=requests_of(cloud),
    )
    return burst, volumes


def _result(call: Any) -> Any:
    return call.result()


def _row(bursts: tuple[Burst, ...], zone_size: int, latency_seconds: float) -> Row:
    traces = [trace for each in bursts for trace in each.traces]
    return Row(
        rpc=traces[0].rpc,
        count=len(bursts[0].traces),
        zone_size=zone_size,
        latency_seconds=latency_seconds,
        seconds=Spread.of(each.seconds for each in bursts),
        ratio=statistics.median(
            each.seconds / statistics.median(trace.cloud_seconds for trace in each.traces)
            for each in bursts
        ),
        rpc_seconds=Spread.of(trace.seconds for trace in traces),
        own_seconds=Spread.of(each.own_seconds for each in bursts),
        api_calls=Spread.of(len(each.requests) for each in bursts),
        calls=dict(_typical(bursts).calls().most_common()),
    )


def _typical(bursts: tuple[Burst, ...]) -> Burst:
    return sorted(bursts, key=lambda each: len(each.requests))[len(bursts) // 2]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"{row.count} {row.rpc}",
        f"{row.zone_size:,}",
        f"{row.latency_seconds:g} s",
        milliseconds(row.seconds.median),
        f"{row.ratio:.2f}",
        milliseconds(row.rpc_seconds.median),
        milliseconds(row.rpc_seconds.p99),
        milliseconds(row.own_seconds.median),
        f"{row.api_calls.median:g}",
    )


def _in_words(calls: dict[str, int]) -> str:
    return ", ".join(f"{count} {operation}" for operation, count in calls.items())
