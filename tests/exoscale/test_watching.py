"""Many pending operations at once: settled by shared lists, where a list can prove it (S20)."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.exoscale.client import Cloud, ZoneClient
from csi_exoblock.exoscale.operations import OperationWaiter
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Operation, ZoneName
from csi_exoblock.states import FailureReason, OperationState
from tests.exoscale.conftest import QUICK
from tests.support.asking import LONG_SECONDS
from tests.support.simulator_process import SimulatorProcess
from tests.support.threads import without_threads

CREATE, DELETE = "create-block-storage-volume", "delete-block-storage-volume"
LIST, POLL = "list-block-storage-volumes", "get-operation"
LIST_SNAPSHOTS = "list-block-storage-snapshots"
MANY = 20

# What is waited for within a second is due together: how many there are decides, not the machine.
TOGETHER = replace(QUICK, poll_initial=1.0, poll_together=1.0, poll_max=0.5)

Wait = Callable[[Sequence[Operation]], list[Operation]]


@pytest.fixture
def zone(simulator: SimulatorProcess, cloud: Cloud) -> ZoneClient:
    return cloud.zone(ZoneName(simulator.zones[0]))


@pytest.fixture
def wait(cloud: Cloud, metrics: Metrics, threads: ThreadPoolExecutor) -> Wait:
    """Wait for all operations as if they began just now, and return them as they ended."""
    waiter = OperationWaiter(cloud=cloud, timing=TOGETHER, metrics=metrics)

    def wait(begun: Sequence[Operation]) -> list[Operation]:
        deadline, now = Deadline(LONG_SECONDS), time.monotonic()
        young = [replace(each, begun_at=now) for each in begun]
        return list(threads.map(lambda each: waiter.wait(each, deadline), young))

    return wait


@pytest.fixture
def create(zone: ZoneClient, threads: ThreadPoolExecutor) -> Callable[[], list[Operation]]:
    """Begin to create many volumes."""

    def create_one(number: int) -> Operation:
        return zone.create_volume(
            name=f"volume-{number}",
            size_gib=1,
            labels={},
            snapshot_id=None,
            deadline=Deadline(LONG_SECONDS),
        )

    return lambda: list(threads.map(create_one, range(MANY)))


def states(ended: Sequence[Operation]) -> Counter[OperationState]:
    return Counter(each.state for each in ended)


def calls(simulator: SimulatorProcess) -> Counter[str]:
    """Count the polls that were made."""
    called = Counter(simulator.operations_called())
    return Counter({each: called[each] for each in (LIST, LIST_SNAPSHOTS, POLL) if called[each]})


def test_lists_settle_many_operations(
    simulator: SimulatorProcess, create: Callable[[], list[Operation]], wait: Wait
) -> None:
    ended = wait(create())

    assert states(ended) == {OperationState.SUCCESS: MANY}
    assert {str(each.reference) for each in ended} == {each["id"] for each in simulator.volumes()}
    assert calls(simulator)[POLL] == 0
    assert calls(simulator)[LIST] <= 3


def test_every_kind_that_lists_show_is_settled_by_them(
    simulator: SimulatorProcess,
    zone: ZoneClient,
    create: Callable[[], list[Operation]],
    wait: Wait,
    threads: ThreadPoolExecutor,
) -> None:
    deadline = Deadline(LONG_SECONDS)
    simulator.set_quota("block-storage-volume-attachments", -1)
    instance = UUID(simulator.add_instance(zone.zone))
    ids = [each.reference for each in wait(create()) if each.reference]
    snapshot_ids: list[UUID] = []
    steps: tuple[tuple[Callable[[UUID], Operation], list[UUID]], ...] = (
        (lambda each: zone.attach_volume(each, instance, deadline), ids),
        (lambda each: zone.detach_volume(each, deadline), ids),
        (lambda each: zone.create_snapshot(each, name="a", labels={}, deadline=deadline), ids),
        (lambda each: zone.delete_snapshot(each, deadline), snapshot_ids),
        (lambda each: zone.delete_volume(each, deadline), ids),
    )

    for begin, about in steps:
        simulator.clear_calls()
        ended = wait(list(threads.map(begin, about)))
        snapshot_ids += [UUID(each["id"]) for each in simulator.snapshots()]

        assert states(ended) == {OperationState.SUCCESS: MANY}
        # No list proves that a copy is whole, so each snapshot says itself how it ended (S18).
        polls = MANY if any(each.copies for each in ended) else 0
        assert calls(simulator)[POLL] == polls
        assert sum(calls(simulator).values()) <= 3 + polls


def test_failure_is_told_by_the_operation_itself(
    simulator: SimulatorProcess, create: Callable[[], list[Operation]], wait: Wait
) -> None:
    simulator.add_fault(fault="fail", operation=CREATE, reason="busy", count=3)

    ended = wait(create())

    assert states(ended) == {OperationState.SUCCESS: MANY - 3, OperationState.FAILURE: 3}
    failed = [each.reason for each in ended if each.state is OperationState.FAILURE]
    assert failed == [FailureReason.BUSY] * 3
    assert calls(simulator)[POLL] == 3


def test_list_that_lags_proves_nothing(
    simulator: SimulatorProcess, create: Callable[[], list[Operation]], wait: Wait
) -> None:
    simulator.set_mode("list-lag", "yes")
    simulator.add_fault(fault="fail", operation=CREATE, reason="fault", count=1)

    ended = wait(create())

    assert states(ended) == {OperationState.SUCCESS: MANY - 1, OperationState.FAILURE: 1}
    assert calls(simulator)[POLL] == MANY


def test_deletion_that_failed_is_not_taken_for_done_while_lists_lag(
    simulator: SimulatorProcess,
    zone: ZoneClient,
    create: Callable[[], list[Operation]],
    wait: Wait,
    threads: ThreadPoolExecutor,
) -> None:  # C1: the volume would be paid for, for ever
    simulator.set_mode("list-lag", "yes")
    ids = [each.reference for each in wait(create()) if each.reference]
    simulator.add_fault(fault="fail", operation=DELETE, reason="busy")

    ended = wait(
        list(threads.map(lambda each: zone.delete_volume(each, Deadline(LONG_SECONDS)), ids))
    )

    assert states(ended) == {OperationState.FAILURE: MANY}


@pytest.mark.parametrize(
    "fault",
    [{"status": 403}, {"status": 404}, {"status": 503, "count": 3}],
    ids=str,
)
def test_lists_that_fail_hold_nothing_up(
    simulator: SimulatorProcess,
    create: Callable[[], list[Operation]],
    wait: Wait,
    fault: dict[str, int],
) -> None:
    simulator.add_fault(fault="refuse", operation=LIST, **fault)

    assert states(wait(create())) == {OperationState.SUCCESS: MANY}


def test_operations_that_cannot_be_read_are_settled_by_lists(
    simulator: SimulatorProcess, create: Callable[[], list[Operation]], wait: Wait
) -> None:  # section 8: does get-operation need its own permission?
    simulator.set_mode("operations", "denied")

    assert states(wait(create())) == {OperationState.SUCCESS: MANY}


def test_entry_that_cannot_be_understood_holds_up_nobody(
    simulator: SimulatorProcess, create: Callable[[], list[Operation]], wait: Wait
) -> None:
    begun = create()
    entries = [
        {"id": str(each.about), "name": "a", "state": state, "labels": {}}
        for each, state in zip(begun, [7, *["detached"] * (MANY - 1)], strict=True)
    ]
    body = json.dumps({"block-storage-volumes": entries})
    simulator.add_fault(fault="garbage", operation=LIST, status=200, body=body)

    ended = wait(begun)

    assert states(ended) == {OperationState.SUCCESS: MANY}
    assert calls(simulator)[POLL] == 1


def test_zone_is_watched_again_after_there_was_no_thread_for_it(
    create: Callable[[], list[Operation]], cloud: Cloud, metrics: Metrics
) -> None:
    waiter = OperationWaiter(cloud=cloud, timing=TOGETHER, metrics=metrics)
    begun = create()
    with without_threads(), pytest.raises(HostError, match="no thread for operations"):
        waiter.wait(begun[0], Deadline(LONG_SECONDS))

    ended = [waiter.wait(each, Deadline(LONG_SECONDS)) for each in begun]

    assert states(ended) == {OperationState.SUCCESS: MANY}


def test_polls_for_which_there_is_no_thread_are_made_later(
    create: Callable[[], list[Operation]],
    cloud: Cloud,
    metrics: Metrics,
    threads: ThreadPoolExecutor,
) -> None:
    waiter = OperationWaiter(cloud=cloud, timing=TOGETHER, metrics=metrics)
    begun = create()
    waiting = [threads.submit(waiter.wait, each, Deadline(LONG_SECONDS)) for each in begun]
    while not any(each.name.startswith("operations-") for each in threading.enumerate()):
        threading.Event().wait(0.001)
    with without_threads() as refused:
        refused.acquire()  # a poll was to begin

    assert states([each.result() for each in waiting]) == {OperationState.SUCCESS: MANY}


def test_many_that_hang_are_all_given_up(
    simulator: SimulatorProcess,
    create: Callable[[], list[Operation]],
    cloud: Cloud,
    metrics: Metrics,
    threads: ThreadPoolExecutor,
) -> None:  # S3
    timing = replace(TOGETHER, operation_stalled=2.5, poll_doubt=0.5)
    waiter = OperationWaiter(cloud=cloud, timing=timing, metrics=metrics)
    simulator.add_fault(fault="hang", operation=CREATE)

    ended = list(threads.map(lambda each: waiter.wait(each, Deadline(LONG_SECONDS)), create()))

    assert states(ended) == {OperationState.TIMEOUT: MANY}
    assert calls(simulator)[POLL] >= MANY  # in the end each was asked for by itself
