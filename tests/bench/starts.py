"""How long a process takes from its start to an answer, and how large it is then."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.bench.figures import Goal, Spread, milliseconds, table
from tests.bench.processes import Footprint, cpu_seconds, footprint
from tests.bench.stage import Stage
from tests.support.driver_process import DriverProcess

_LIMIT_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
_CHECK_SECONDS = 0.002

Start = Callable[[pathlib.Path], AbstractContextManager[DriverProcess]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Starts of one service.

    Attributes:
        serving: Seconds until Probe is answered.
        ready: Seconds until the answer is that it is ready.
        own: Processor seconds until then.
        idle: What the process has then.
    """

    service: str
    serving: Spread
    ready: Spread
    own: Spread
    idle: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What the section found."""

    rows: tuple[Row, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        for row in self.rows:
            what = f"{row.service}: from its start to serving"
            yield Goal.at_most(what, _LIMIT_SECONDS, row.serving.median, " s")

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## Start"
        yield ""
        yield "From the start of the process until Probe is answered, and until it says ready."
        yield ""
        yield from table(
            (
                "service",
                "serving, median",
                "worst",
                "ready, median",
                "processor",
                "memory",
                "threads",
            ),
            map(_cells, self.rows),
        )

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


def measure(stage: Stage) -> Starts:
    """Start each service again and again."""
    stage.say(f"starts: {stage.plan.starts} of each service")
    with stage.cloud(latency_seconds=0.3) as cloud:

        def start_controller(folder: pathlib.Path) -> AbstractContextManager[DriverProcess]:
            return DriverProcess.start(
                *("controller", "--api-endpoint", cloud.api_endpoint),
                folder=folder,
                environment=cloud.environment,
                ready=False,
                afresh=True,
            )

        return Starts(
            rows=(
                _row(stage, "controller", start_controller),
                _row(stage, "node", lambda folder: stage.node(folder, ready=False)),
            )
        )


def _row(
    stage: Stage,
    service: str,
    start: Callable[[pathlib.Path], AbstractContextManager[DriverProcess]],
) -> Row:
    serving, ready, own = [], [], []
    for _ in range(stage.plan.starts):
        began = time.perf_counter()
        with start(stage.new_folder()) as driver:
            served, was_ready = _answered(driver.socket)
            serving.append(served - began)
            ready.append(was_ready - began)
            own.append(cpu_seconds(driver.pid))
            idle = footprint(driver.pid)
    return Row(
        service=service,
        serving=Spread.of(serving),
        ready=Spread.of(ready),
        own=Spread.of(own),
        idle=idle,
    )


def _answered(socket: pathlib.Path) -> tuple[float, float]:
    """Return when Probe was answered for the first time, and when it said ready."""
    while not socket.exists():  # gRPC would wait a second before it tries again
        time.sleep(_CHECK_SECONDS)
    answered = []
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        probe = csi_pb2_grpc.IdentityStub(channel).Probe
        ready = False
        while not ready:
            answer = probe(csi_pb2.ProbeRequest(), timeout=_PATIENCE_SECONDS, wait_for_ready=True)
            ready = answer.ready.value
            answered.append(time.perf_counter())
            time.sleep(_CHECK_SECONDS)
    return answered[0], answered[-1]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.service,
        milliseconds(row.serving.median),
        milliseconds(row.serving.most),
        milliseconds(row.ready.median),
        milliseconds(row.own.median),
        f"{row.idle.rss_mib} MiB",
        f"{row.idle.threads}",
    )
