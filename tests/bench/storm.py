"""Hundreds of claims at once, through the sidecars' workers, at an API with a rate limit."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import grpc

from tests.bench.figures import Goal, Spread, digits, milliseconds, table
from tests.bench.prober import probing
from tests.bench.processes import Footprint, cpu_seconds, footprint
from tests.bench.stage import Stage, controller_of
from tests.controller import requests as csi
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

# As the chart sets them: requirements.md, section 0, and surface.md, section 9.
PROVISIONER_WORKERS = 100
ATTACHER_WORKERS = 50
TIMEOUT_SECONDS = 180.0
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0

# One POST; a GET and a PUT; again; a GET and a DELETE. Lists and polls come on top, shared by many.
CALLS_OF_A_CLAIM = 7

_THROTTLED = 429
_PATIENCE_SECONDS = 120.0
_PERCENT_THROTTLED = 1.0
_RATIO = 1.2
_UNLIMITED_RSS_MIB = 80.0

_NOT_FINAL = (
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


Workers = ThreadPoolExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """Claims that were all made at once: create, attach, detach, delete.

    Attributes:
        per_second: How many API calls are let in, 0.0 for no limit.
        rpc_seconds: Of answered calls, by RPC.
        repeated: Calls that the sidecars had to make again.
        throttled: API calls that were refused as too many.
        own_seconds: Processor time of the driver.
    """

    claims: int
    per_second: float
    seconds: float
    api_calls: int
    calls: dict[str, int]
    throttled: int
    repeated: int
    rpc_seconds: dict[str, Spread]
    probe_seconds: float
    own_seconds: float
    before: Footprint
    after: Footprint

    @property
    def least_seconds(self) -> float:
        """What the calls that every claim needs take alone at that rate."""
        return self.claims * CALLS_OF_A_CLAIM / self.per_second if self.per_second else 0.0

    @property
    def name(self) -> str:
        """What to call it."""
        limit = f"{self.per_second:g} API calls a second" if self.per_second else "no limit"
        return f"{self.claims} claims at once, {limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Storms:
    """What the section found."""

    storms: tuple[Storm, ...]

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""
        for storm in self.storms:
            if storm.per_second:
                ratio = storm.seconds / storm.least_seconds
                what = f"{storm.name}: time beside what the calls alone need"
                yield Goal.at_most(what, _RATIO, ratio, " times")
                percent = 100 * storm.throttled / storm.api_calls
                what = f"{storm.name}: throttled answers"
                yield Goal.at_most(what, _PERCENT_THROTTLED, percent, " %")
            else:
                what = f"{storm.name}: memory of the controller after it"
                yield Goal.at_most(what, _UNLIMITED_RSS_MIB, storm.after.rss_mib, " MiB")
            yield Goal.at_most(f"{storm.name}: Probe, worst", 1.0, storm.probe_seconds, " s")

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""
        yield "## Storms of claims"
        yield ""
        yield (
            "Every claim is created, attached, detached and deleted, by a provisioner with "
            f"{PROVISIONER_WORKERS} workers and an attacher with {ATTACHER_WORKERS}; operations "
            f"take 0.3 s. The calls alone: {CALLS_OF_A_CLAIM} of each claim, at the rate let in."
        )
        yield ""
        yield from table(
            (
                "what",
                "time",
                "calls alone",
                "API calls",
                "throttled",
                "repeated RPCs",
                "Probe, worst",
                "memory before, after",
            ),
            map(_cells, self.storms),
        )
        for storm in self.storms:
            calls = ", ".join(f"{count} {operation}" for operation, count in storm.calls.items())
            waits = ", ".join(
                f"{rpc} {each.median:.{digits(each.median)}f} s ({each.p99:.{digits(each.p99)}f} s)"
                for rpc, each in storm.rpc_seconds.items()
            )
            yield f"- {storm.name}: {calls}; median (p99) of {waits}"
        yield ""

    def pictures(self) -> dict[str, str]:
        """Draw nothing."""
        return {}


class Sidecars:
    """Provisioner and attacher: their workers repeat a call that might still run."""

    def __init__(self, driver: DriverProcess, node_ids: Iterator[str]) -> None:
        self._controller = controller_of(driver)
        self._node_ids = node_ids
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._running: set[Any] = set()
        self.seconds: dict[str, list[float]] = {}
        self.repeated = 0

    def serve(self, names: Sequence[str]) -> None:
        """Let all claims begin at once, and return when all are gone.

        Raises:
            grpc.RpcError: A call failed for good.
            grpc.FutureCancelledError: They were stopped.
        """
        with (
            ThreadPoolExecutor(PROVISIONER_WORKERS) as provisioner,
            ThreadPoolExecutor(ATTACHER_WORKERS) as attacher,
            ThreadPoolExecutor(len(names)) as claims,
        ):
            try:
                list(claims.map(lambda name: self._live(name, provisioner, attacher), names))
            except BaseException:
                self.stop()
                raise

    def insist(self, workers: Workers, send: Any, request: Any) -> Any:
        """Have one of a sidecar's workers make a call, again while it may still be running.

        Raises:
            grpc.RpcError: It failed for good.
            grpc.FutureCancelledError: The sidecars were stopped.
        """
        rpc = type(request).__name__.removesuffix("Request")
        pause = FIRST_RETRY_SECONDS
        while True:
            answer, seconds, failure = workers.submit(self._call, send, request).result()
            with self._lock:
                self.repeated += failure is not None
                if failure is None:
                    self.seconds.setdefault(rpc, []).append(seconds)
                    return answer
            if cast(grpc.Call, failure).code() not in _NOT_FINAL or self._stopped.wait(pause):
                raise failure
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)

    def _live(self, name: str, provisioner: Workers, attacher: Workers) -> None:
        node_id = next(self._node_ids)
        create, delete = self._controller.CreateVolume, self._controller.DeleteVolume
        attach = self._controller.ControllerPublishVolume
        detach = self._controller.ControllerUnpublishVolume
        volume_id = self.insist(provisioner, create, csi.create_volume(name)).volume.volume_id
        self.insist(attacher, attach, csi.publish(volume_id, node_id))
        self.insist(attacher, detach, csi.unpublish(volume_id, node_id))
        self.insist(provisioner, delete, csi.delete_volume(volume_id))

    def _call(self, send: Any, request: Any) -> tuple[Any, float, grpc.RpcError | None]:
        began = time.perf_counter()
        call = send.future(request, timeout=TIMEOUT_SECONDS)
        with self._lock:
            self._running.add(call)
        if self._stopped.is_set():
            call.cancel()
        failure = call.exception()
        with self._lock:
            self._running.discard(call)
        answer = None if failure else call.result()
        return answer, time.perf_counter() - began, failure

    def stop(self) -> None:
        """End all calls, and let none be repeated: somebody pressed Ctrl-C, or a call failed."""
        self._stopped.set()
        with self._lock:
            running = list(self._running)
        for call in running:
            call.cancel()


def measure(stage: Stage) -> Storms:
    """Let a storm come without a limit, then one at each limit."""
    storms = [_storm(stage, stage.plan.storm_size, None)]
    storms += [_storm(stage, claims, limit) for limit, claims in stage.plan.throttled]
    return Storms(storms=tuple(storms))


def _storm(stage: Stage, claims: int, per_second: float | None) -> Storm:
    stage.say(f"storm: {claims} claims at once, {per_second or 'unlimited'} API calls a second")
    with stage.cloud(latency_seconds=0.3) as cloud, stage.controller(cloud) as driver:
        node_ids = _nodes(cloud, claims)
        before = footprint(driver.pid)
        cloud.clear_calls()
        cloud.limit_calls(per_second)
        own = cpu_seconds(driver.pid)
        sidecars = Sidecars(driver, node_ids)
        with probing(driver.socket) as probes:
            seconds = _serve(sidecars, claims, per_second)
        own = cpu_seconds(driver.pid) - own
        cloud.limit_calls(None)
        assert not cloud.volumes()
        calls = cloud.calls()
        return Storm(
            claims=claims,
            per_second=per_second or 0.0,
            seconds=seconds,
            api_calls=len(calls),
            calls=dict(Counter(call.operation for call in calls).most_common()),
            throttled=sum(call.status == _THROTTLED for call in calls),
            repeated=sidecars.repeated,
            rpc_seconds={rpc: Spread.of(each) for rpc, each in sidecars.seconds.items()},
            probe_seconds=probes.worst_seconds,
            own_seconds=own,
            before=before,
            after=footprint(driver.pid),
        )


def _serve(sidecars: Sidecars, claims: int, per_second: float | None) -> float:
    """Return how long the claims took.

    Raises:
        TimeoutError: Far longer than they may.
    """
    limit = _PATIENCE_SECONDS + 3 * (claims * CALLS_OF_A_CLAIM / per_second if per_second else 0.0)
    patience = threading.Timer(limit, sidecars.stop)
    patience.start()
    began = time.monotonic()
    try:
        sidecars.serve([f"pvc-{number}" for number in range(claims)])
    except grpc.FutureCancelledError as error:
        raise TimeoutError(f"{claims} claims were not served within {limit:.0f} s") from error
    finally:
        patience.cancel()
    return time.monotonic() - began


def _nodes(cloud: SimulatorProcess, claims: int) -> Iterator[str]:
    """Yield a node for each claim; as many claims share one as a cluster's node has volumes."""
    zone = cloud.zones[0]
    ids = [f"{zone}/{cloud.add_instance(zone)}" for _ in range(max(1, claims // 5))]
    return itertools.cycle(ids)


def _cells(storm: Storm) -> tuple[str, ...]:
    return (
        storm.name,
        f"{storm.seconds:.1f} s",
        f"{storm.least_seconds:.1f} s" if storm.per_second else "",
        f"{storm.api_calls:,}",
        f"{storm.throttled}",
        f"{storm.repeated}",
        milliseconds(storm.probe_seconds),
        f"{storm.before.rss_mib} to {storm.after.rss_mib} MiB",
    )
