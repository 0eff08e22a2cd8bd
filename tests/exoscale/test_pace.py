"""The pace of a zone's requests, over HTTP: learnt, obeyed, fair (S20, C2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from csi_exoblock import calls
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, DriverError, ReadAgain
from csi_exoblock.exoscale.client import ZoneClient
from csi_exoblock.exoscale.pace import Paces
from csi_exoblock.exoscale.transport import Request, Transport
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import ZoneName
from tests.exoscale.conftest import QUICK, MakeCloud, MakeTransport
from tests.exoscale.scripted_server import Answer, Drop, Hold, ScriptedServer, Step
from tests.support.asking import LONG_SECONDS
from tests.support.metrics import value
from tests.support.simulator_process import SimulatorProcess

CROWD = 8
# Behind a storm of sixty a request would be the last. Of those that are let go with it, a busy
# machine can have several send theirs before it, and those that follow them.
IN_FRONT = 3 * CROWD
PATIENT = replace(QUICK, pace_crowd=LONG_SECONDS)  # a request under way counts for any time
# For a limit of 25 requests a second, which a busy machine exceeds as well.
FAST = replace(QUICK, pace_recovery=2.4, pace_sample=0.2)


class InLine(Deadline):
    """A deadline that tells when its request waits for its turn."""

    def __init__(self, seconds: float, waits: threading.Event) -> None:
        super().__init__(seconds)
        self._waits = waits

    def pause(self, waker: threading.Event, seconds: float) -> None:
        self._waits.set()
        super().pause(waker, seconds)


class Sending(Future[object]):
    """An answer to come; `waits` is set once its request waits for its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()


Send = Callable[..., Sending]


@pytest.fixture
def send(server: ScriptedServer, make_transport: MakeTransport) -> Send:
    """Send a request in a thread of its own, given the path and the call that it is part of."""
    transport = make_transport(timing=PATIENT)
    win_trust(server, transport)

    def send(path: str, call: str | None = "CreateVolume", **changes: Any) -> Sending:
        asked, answer = replace(request(server, path), **changes), Sending()

        def run() -> None:
            with calls.enter(call) if call else nullcontext():
                answer.set_result(transport.send(asked, repr, InLine(60.0, answer.waits)))

        threading.Thread(target=run, daemon=True).start()
        return answer

    return send


def request(server: ScriptedServer, path: str = "", zone: str = "ch-gva-2") -> Request:
    return Request(
        operation="get-block-storage-volume",
        method="GET",
        url=f"{server.url}/{path}",
        zone=zone,
        subject="volume",
    )


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return value(metrics.text(), f"csi_exoblock_{name}", labels)


def win_trust(server: ScriptedServer, transport: Transport) -> None:
    """Let the zone accept enough requests for a whole crowd to be under way at once."""
    for _ in range(4 * CROWD):
        transport.send(request(server), repr, Deadline(60.0))
        server.arrived.acquire()
    server.received.clear()


def fill(server: ScriptedServer, send: Send) -> threading.Event:
    """Have as many requests under way as may be, and return what has them all answered."""
    gate = threading.Event()
    server.script += [Hold(gate)] * CROWD
    for _ in range(CROWD):
        send("crowd", "CreateVolume")
    for _ in range(CROWD):
        server.arrived.acquire()
    return gate


def in_line(*sent: Sending) -> None:
    """Return when all wait for their turn."""
    for each in sent:
        assert each.waits.wait(60.0)


def behind_a_storm(
    server: ScriptedServer, send: Send, call: str, last: Callable[[], Sending]
) -> list[str]:
    """Send a request behind sixty of a kind; return the paths in the order of their arrival."""
    gate = fill(server, send)
    storm = [send(call, call) for _ in range(60)]
    in_line(*storm)
    late = last()
    in_line(late)
    assert not server.arrived.acquire(timeout=0.2)
    gate.set()
    for each in (*storm, late):
        each.result()
    return [each.path for each in server.received][CROWD:]


def test_zone_that_never_refused_is_asked_by_a_crowd_at_once(
    server: ScriptedServer, send: Send
) -> None:
    gate = fill(server, send)
    late = send("late", "CreateVolume")

    assert not server.arrived.acquire(timeout=0.2)  # were it sent, it would arrive in a moment
    gate.set()

    late.result()
    assert [each.path for each in server.received].index("/late") == CROWD


def test_crowd_grows_with_what_the_zone_takes(
    server: ScriptedServer, make_transport: MakeTransport, threads: ThreadPoolExecutor
) -> None:
    """So few are refused by a zone that grants little."""
    transport, gate = make_transport(timing=PATIENT), threading.Event()
    server.script += [Hold(gate)]
    asked = [
        threads.submit(transport.send, request(server), repr, Deadline(60.0)) for _ in range(30)
    ]
    server.arrived.acquire()

    assert not server.arrived.acquire(timeout=0.2)
    gate.set()
    assert {each.result() for each in asked} == {"{}"}


def test_requests_that_hang_hold_nobody_up_for_long(
    server: ScriptedServer, make_transport: MakeTransport, threads: ThreadPoolExecutor
) -> None:
    transport, gate = make_transport(timing=replace(PATIENT, pace_crowd=0.001)), threading.Event()
    server.script += [Hold(gate)] * CROWD
    for _ in range(CROWD):
        threads.submit(transport.send, request(server), repr, Deadline(60.0))
        server.arrived.acquire()

    assert transport.send(request(server), repr, Deadline(60.0)) == "{}"
    gate.set()


def test_storm_of_creates_does_not_starve_a_detach(server: ScriptedServer, send: Send) -> None:
    arrived = behind_a_storm(
        server,
        send,
        "CreateVolume",
        lambda: send("ControllerUnpublishVolume", "ControllerUnpublishVolume"),
    )

    assert arrived.index("/ControllerUnpublishVolume") < IN_FRONT  # sent second; threads may race


def test_write_that_rests_on_a_read_goes_before_a_storm_of_reads(
    server: ScriptedServer, send: Send
) -> None:  # D3: behind the storm its own read would be too old each time
    rpc = "ControllerUnpublishVolume"

    arrived = behind_a_storm(
        server, send, rpc, lambda: send("write", rpc, method="PUT", rests_on_read=True)
    )

    assert arrived.index("/write") < IN_FRONT  # sent first; threads may race


def test_write_that_waits_longer_than_its_read_holds_is_not_sent(
    server: ScriptedServer, make_transport: MakeTransport
) -> None:  # D3, D12, N10
    transport = make_transport(timing=replace(QUICK, read_holds=2.0))
    server.script += [Answer(429, headers={"Retry-After": "30"})]
    write = replace(request(server), method="PUT", rests_on_read=True)

    with pytest.raises(ReadAgain, match="HTTP 429") as caught:
        transport.send(write, repr, Deadline(60.0))

    assert not caught.value.may_have_effect
    assert len(server.received) == 1


def test_write_whose_turn_does_not_come_leaves_the_line(
    server: ScriptedServer, make_transport: MakeTransport
) -> None:  # D3
    transport = make_transport(timing=replace(PATIENT, read_holds=0.1))
    gate = threading.Event()
    server.script += [Hold(gate)]
    with ThreadPoolExecutor(1) as thread:
        hanging = thread.submit(transport.send, request(server), repr, Deadline(60.0))
        server.arrived.acquire()

        with pytest.raises(ReadAgain):
            transport.send(
                replace(request(server), method="PUT", rests_on_read=True), repr, Deadline(60.0)
            )

        gate.set()
        assert hanging.result() == "{}"
    assert transport.send(request(server), repr, Deadline(60.0)) == "{}"
    assert {each.method for each in server.received} == {"GET"}


def test_polls_do_not_starve_a_list(server: ScriptedServer, send: Send) -> None:
    gate = fill(server, send)
    polls = [send("poll", None, operation="get-operation") for _ in range(60)]
    in_line(*polls)
    listed = send("list", None, operation="list-block-storage-volumes")
    in_line(listed)
    assert not server.arrived.acquire(timeout=0.2)

    gate.set()

    for each in (*polls, listed):
        each.result()
    arrived = [each.path for each in server.received][CROWD:]
    assert arrived.index("/list") < len(polls) / 2  # sent second; threads may race


def test_call_that_is_cancelled_leaves_the_line_at_once(
    server: ScriptedServer, make_transport: MakeTransport, threads: ThreadPoolExecutor
) -> None:  # S5
    transport = make_transport(timing=PATIENT)
    win_trust(server, transport)
    gate = threading.Event()
    server.script += [Hold(gate)] * CROWD
    crowd = [
        threads.submit(transport.send, request(server, "crowd"), repr, Deadline(60.0))
        for _ in range(CROWD)
    ]
    for _ in range(CROWD):
        server.arrived.acquire()
    deadlines = [Deadline(LONG_SECONDS) for _ in range(3)]
    waiting = [
        threads.submit(transport.send, request(server, "given-up"), repr, each)
        for each in deadlines
    ]

    for each in deadlines:
        each.cancel()

    for future in waiting:
        with pytest.raises(DeadlineExceeded, match="cancelled"):
            future.result()
    gate.set()
    assert {future.result() for future in crowd} == {"{}"}
    assert transport.send(request(server, "next"), repr, Deadline(60.0)) == "{}"
    assert "/given-up" not in [each.path for each in server.received]


def test_no_zone_is_asked_more_often_than_allowed(
    server: ScriptedServer, make_transport: MakeTransport, metrics: Metrics
) -> None:
    transport = make_transport(paces=Paces(timing=QUICK, most_per_second=4.0))
    began = time.monotonic()

    for _ in range(4):
        transport.send(request(server), repr, Deadline(60.0))

    assert time.monotonic() - began >= 3 / 4.0
    held_back = sample(
        metrics, "api_throttled_total", operation="get-block-storage-volume", by="client"
    )
    assert held_back is not None
    assert 1 <= held_back <= 3


@pytest.fixture
def limited(simulator: SimulatorProcess, make_cloud: MakeCloud) -> ZoneClient:
    """A zone that takes 25 calls a second."""
    simulator.limit_calls(25.0)
    return make_cloud(simulator.api_endpoint, timing=FAST).zone(ZoneName(simulator.zones[0]))


def ask_often(zone: ZoneClient, threads: ThreadPoolExecutor, times: int) -> None:
    """Send a number of requests to the zone, from many threads at once."""
    for asked in [threads.submit(zone.list_quotas, Deadline(60.0)) for _ in range(times)]:
        asked.result()


def test_limit_of_a_zone_is_learnt_and_seldom_exceeded(
    simulator: SimulatorProcess, limited: ZoneClient, threads: ThreadPoolExecutor, metrics: Metrics
) -> None:
    ask_often(limited, threads, 150)

    statuses = [call.status for call in simulator.calls() if call.operation == "list-quotas"]
    assert statuses.count(200) == 150
    refused = statuses.count(429)
    # The first crowd, then about one for each time the rate recovers.
    assert 0 < refused < CROWD + 25
    assert sample(metrics, "api_throttled_total", operation="list-quotas", by="server") == refused


def test_lists_take_a_small_part_of_what_a_limit_lets_through(
    simulator: SimulatorProcess, make_cloud: MakeCloud
) -> None:
    zone = make_cloud(simulator.api_endpoint).zone(ZoneName(simulator.zones[0]))
    before = zone.seconds_between_lists()
    simulator.add_fault(fault="refuse", status=429, count=1)

    zone.list_quotas(Deadline(60.0))

    assert before == QUICK.lists_apart
    assert zone.seconds_between_lists() > 1.0  # eight calls a second, of which one in twenty


def test_rate_falls_while_everything_is_refused_and_recovers(
    simulator: SimulatorProcess, make_cloud: MakeCloud, threads: ThreadPoolExecutor
) -> None:
    timing = replace(QUICK, pace_recovery=0.3, pace_sample=0.05)
    zone = make_cloud(simulator.api_endpoint, timing=timing).zone(ZoneName(simulator.zones[0]))
    ask_often(zone, threads, 50)
    rule = simulator.add_fault(fault="refuse", status=429)
    asking = [threads.submit(zone.list_quotas, Deadline(60.0)) for _ in range(300)]
    refused_for = 4.0
    threading.Event().wait(refused_for)

    simulator.remove_fault(rule)
    for each in asking:
        each.result()

    refusals = [call.at for call in simulator.calls() if call.status == 429]
    assert len(refusals) < CROWD + 5 * refused_for  # 300 wait; it ends at one in two seconds
    quotas = [call for call in simulator.calls() if call.operation == "list-quotas"]
    answers = [call.at for call in quotas if call.status == 200][50:]
    assert len(answers) == 300
    first, last = answers[:5], answers[-50:]
    assert (last[-1] - last[0]) / len(last) < (first[-1] - first[0]) / len(first)


@pytest.mark.parametrize(
    ("step", "is_up"), [(Answer(200), 1), (Answer(404), 1), (Answer(503), 0), (Drop(), 0)], ids=repr
)
def test_metric_tells_whether_the_api_is_up(
    server: ScriptedServer, make_transport: MakeTransport, metrics: Metrics, step: Step, is_up: int
) -> None:  # F7
    server.script += [step]

    with nullcontext() if step == Answer(200) else pytest.raises(DriverError):
        make_transport().send_once(request(server), repr, Deadline(60.0))

    assert sample(metrics, "api_up", zone="ch-gva-2") == is_up
