"""Waiting for operations: each is polled once for all who wait, and always comes to an end (S3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded
from csi_exoblock.exoscale.client import Cloud, ZoneClient
from csi_exoblock.exoscale.operations import OperationWaiter
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Operation, ZoneName
from csi_exoblock.states import FailureReason, OperationState
from csi_exoblock.timing import Timing
from tests.exoscale.conftest import QUICK
from tests.support.asking import LONG_SECONDS, Asking
from tests.support.metrics import value
from tests.support.simulator_process import SimulatorProcess

CREATE, POLL = "create-block-storage-volume", "get-operation"

MakeWaiter = Callable[[Timing], OperationWaiter]


@pytest.fixture
def zone(simulator: SimulatorProcess, cloud: Cloud) -> ZoneClient:
    return cloud.zone(ZoneName(simulator.zones[0]))


@pytest.fixture
def make_waiter(cloud: Cloud, metrics: Metrics) -> MakeWaiter:
    return lambda timing: OperationWaiter(cloud=cloud, timing=timing, metrics=metrics)


@pytest.fixture
def waiter(make_waiter: MakeWaiter) -> OperationWaiter:
    return make_waiter(QUICK)


def begin(zone: ZoneClient) -> Operation:
    """Begin to create a volume."""
    return zone.create_volume(
        name="a", size_gib=1, labels={}, snapshot_id=None, deadline=Deadline(LONG_SECONDS)
    )


def waits(metrics: Metrics, outcome: str) -> float | None:
    """Return how many waits ended so."""
    name = "csi_exoblock_operation_wait_seconds_count"
    return value(metrics.text(), name, {"operation": CREATE, "outcome": outcome})


def watchers() -> list[threading.Thread]:
    """Return the threads that watch operations."""
    return [each for each in threading.enumerate() if each.name.startswith("operations-")]


def test_success_is_returned_with_what_was_made(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter, metrics: Metrics
) -> None:
    begun = begin(zone)

    ended = waiter.wait(begun, Deadline(LONG_SECONDS))

    assert (ended.id, ended.state, ended.kind) == (begun.id, OperationState.SUCCESS, CREATE)
    assert [each["id"] for each in simulator.volumes()] == [str(ended.reference)]
    assert waits(metrics, "success") == 1


def test_failure_is_returned_with_its_reason(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter, metrics: Metrics
) -> None:
    simulator.add_fault(fault="fail", operation=CREATE, reason="busy", message="come later")

    ended = waiter.wait(begin(zone), Deadline(LONG_SECONDS))

    assert (ended.state, ended.reason) == (OperationState.FAILURE, FailureReason.BUSY)
    assert ended.message == "come later"
    assert waits(metrics, "busy") == 1


def test_timeout_of_the_api_is_returned(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter
) -> None:
    simulator.add_fault(fault="time-out", operation=CREATE)

    assert waiter.wait(begin(zone), Deadline(LONG_SECONDS)).state is OperationState.TIMEOUT


@pytest.mark.parametrize("state", ["success", "failure", "timeout"])
def test_operation_that_has_ended_costs_no_call(
    simulator: SimulatorProcess, waiter: OperationWaiter, state: str
) -> None:  # S20
    ended = Operation(
        id=uuid4(),
        zone=ZoneName(simulator.zones[0]),
        state=OperationState(state),
        reference=None,
        reason=None,
        message="",
    )

    assert waiter.wait(ended, Deadline(0.0)) is ended
    assert simulator.calls() == []


def test_all_who_wait_share_the_same_polls(
    simulator: SimulatorProcess,
    zone: ZoneClient,
    waiter: OperationWaiter,
    threads: ThreadPoolExecutor,
    metrics: Metrics,
) -> None:
    simulator.add_fault(fault="hang", operation=CREATE)
    begun = begin(zone)
    deadlines = [Asking() for _ in range(20)]
    pending = [threads.submit(waiter.wait, begun, deadline) for deadline in deadlines]
    for deadline in deadlines:
        deadline.asked.wait()
    simulator.finish_operation(begun.zone, str(begun.id))

    assert {each.result().state for each in pending} == {OperationState.SUCCESS}
    assert waits(metrics, "success") == len({id(each.result()) for each in pending}) == 1


def test_watching_outlives_the_call_and_is_joined_by_the_retry(
    simulator: SimulatorProcess,
    zone: ZoneClient,
    waiter: OperationWaiter,
    threads: ThreadPoolExecutor,
    metrics: Metrics,
) -> None:
    simulator.add_fault(fault="hang", operation=CREATE)
    begun, cancelled, patient = begin(zone), Asking(), Asking()
    first = threads.submit(waiter.wait, begun, cancelled)
    cancelled.asked.wait()
    cancelled.cancel()
    with pytest.raises(DeadlineExceeded):
        first.result()

    retry = threads.submit(waiter.wait, begun, patient)
    patient.asked.wait()
    simulator.finish_operation(begun.zone, str(begun.id))

    assert retry.result().state is OperationState.SUCCESS
    assert (waits(metrics, "deadline"), waits(metrics, "success")) == (1, 1)
    for watcher in watchers():
        watcher.join()  # it ends by itself


def test_operation_that_is_stuck_is_given_up(
    simulator: SimulatorProcess, zone: ZoneClient, make_waiter: MakeWaiter, metrics: Metrics
) -> None:
    simulator.add_fault(fault="hang", operation=CREATE)
    waiter = make_waiter(replace(QUICK, operation_stalled=0.1))
    begun = begin(zone)

    ended = waiter.wait(begun, Deadline(60.0))

    assert ended == replace(begun, state=OperationState.TIMEOUT)
    assert waits(metrics, "timeout") == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_operation_that_cannot_be_read_is_given_up(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter, status: int
) -> None:
    """Its resource tells what became of it."""
    simulator.add_fault(fault="refuse", operation=POLL, status=status, count=1)
    begun = begin(zone)

    ended = waiter.wait(begun, Deadline(LONG_SECONDS))

    assert ended == replace(begun, state=OperationState.TIMEOUT)


@pytest.mark.parametrize("body", ["", "<html>404 Not Found</html>"])
def test_operation_that_is_not_found_twice_is_given_up_whatever_says_so(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter, body: str
) -> None:  # S3, section 7: each call would take 90 s otherwise
    simulator.add_fault(fault="refuse", operation=POLL, status=404, body=body)
    begun = begin(zone)

    ended = waiter.wait(begun, Deadline(LONG_SECONDS))

    assert ended == replace(begun, state=OperationState.TIMEOUT)
    assert simulator.operations_called().count(POLL) == 2


def test_operation_that_is_not_found_now_and_then_is_followed_to_its_end(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter
) -> None:  # S3: a load balancer that has just started
    simulator.add_fault(fault="hang", operation=CREATE, calls=6)
    for skip in (0, 2):
        simulator.add_fault(fault="refuse", operation=POLL, status=404, body="", skip=skip, count=1)

    ended = waiter.wait(begin(zone), Deadline(LONG_SECONDS))

    assert ended.state is OperationState.SUCCESS


@pytest.mark.parametrize(
    "fault", [{"fault": "refuse", "status": 503}, {"fault": "drop"}, {"fault": "garbage"}], ids=str
)
def test_polls_that_fail_are_ridden_out(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter, fault: dict[str, object]
) -> None:
    simulator.add_fault(operation=POLL, count=5, **fault)

    assert waiter.wait(begin(zone), Deadline(LONG_SECONDS)).state is OperationState.SUCCESS


def test_operation_keeps_the_reference_that_it_began_with(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter
) -> None:
    begun = begin(zone)
    body = f'{{"id": "{begun.id}", "state": "success"}}'
    simulator.add_fault(fault="garbage", operation=POLL, status=200, body=body)

    ended = waiter.wait(begun, Deadline(LONG_SECONDS))

    assert isinstance(ended.reference, UUID)
    assert ended.reference == begun.reference


def test_operation_that_names_what_it_made_only_at_its_end_names_it(
    simulator: SimulatorProcess, zone: ZoneClient, waiter: OperationWaiter
) -> None:  # C1: else a volume that was made is looked for, and one that failed is never deleted
    begun = begin(zone)

    ended = waiter.wait(replace(begun, reference=None, about=None), Deadline(LONG_SECONDS))

    assert ended.reference == begun.reference


def test_operation_that_ended_while_nobody_waited_costs_one_call(
    simulator: SimulatorProcess, zone: ZoneClient, make_waiter: MakeWaiter
) -> None:  # S3: it is as old as it is, however long ago anybody asked
    waiter = make_waiter(replace(QUICK, poll_initial=70.0))
    begun = replace(begin(zone), begun_at=time.monotonic() - 75.0)
    while any(each["state"] == "pending" for each in simulator.operations()):
        threading.Event().wait(0.01)

    assert waiter.wait(begun, Deadline(60.0)).state is OperationState.SUCCESS
    assert simulator.operations_called().count(POLL) == 1
