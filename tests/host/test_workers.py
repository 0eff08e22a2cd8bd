"""S16: calls that may never return are few, and hold up nobody but who asks the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from csi_exoblock.errors import HostError
from csi_exoblock.host.workers import CallLimit, Workers
from tests.support.threads import without_threads

pytestmark = pytest.mark.fast

MOST = 16
KEPT_FREE = 4
MOST_FOR_ONE = 8
PATIENCE_SECONDS = 60.0
LIMIT_SECONDS = 20.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    opened = threading.Event()
    yield opened
    opened.set()


def hang(workers: Workers[bool], gate: threading.Event, key: str) -> None:
    with pytest.raises(HostError, match=f"{key} doesn't answer"):
        workers.run(key, gate.wait)


def workers_in(
    limit: CallLimit, *, only_informs: bool = False, patience_seconds: float = 0.01
) -> Workers[bool]:
    return Workers(limit, patience_seconds=patience_seconds, only_informs=only_informs)


def test_sixteen_calls_hang_whatever_they_are_and_no_further_thread_is_begun(
    gate: threading.Event,
) -> None:
    limit = CallLimit()
    kinds = [workers_in(limit) for _ in range(4)]
    for number in range(MOST):
        hang(kinds[number % 4], gate, f"volume {number}")
    before = set(threading.enumerate())

    for kind in kinds:
        with pytest.raises(HostError, match="too many other calls have not returned"):
            kind.run("volume 17", lambda: True)

    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile


def test_calls_that_only_inform_leave_room_for_a_volume_to_leave(gate: threading.Event) -> None:
    limit = CallLimit()
    informing = workers_in(limit, only_informs=True)
    leaving = workers_in(limit, patience_seconds=PATIENCE_SECONDS)
    for number in range(MOST - KEPT_FREE):
        hang(informing, gate, f"volume {number}")
    with pytest.raises(HostError, match="too many other calls"):
        informing.run("volume 17", lambda: True)

    assert leaving.run("volume 17", lambda: True)


def test_calls_that_return_leave_room_for_others() -> None:
    workers = workers_in(CallLimit(), patience_seconds=PATIENCE_SECONDS)

    assert all(workers.run(f"volume {number}", lambda: True) for number in range(10 * MOST))


def test_call_for_which_there_is_no_thread_is_tried_again() -> None:
    workers = workers_in(CallLimit(), patience_seconds=PATIENCE_SECONDS)

    with without_threads():
        for _ in range(2 * MOST):
            with pytest.raises(HostError, match="no thread"):
                workers.run("volume", lambda: True)

    assert workers.run("volume", lambda: True)


def test_who_asks_what_hangs_is_told_at_once_and_begins_nothing(gate: threading.Event) -> None:
    workers = workers_in(CallLimit())
    hang(workers, gate, "volume")
    begun = threading.Event()

    def begin() -> bool:
        begun.set()
        return True

    with pytest.raises(HostError, match="doesn't answer"):
        workers.run("volume", begin)

    assert not begun.is_set()


def test_worker_that_has_answered_at_last_is_asked_again(gate: threading.Event) -> None:
    workers = workers_in(CallLimit())
    returned = threading.Event()

    def late() -> bool:
        gate.wait()
        returned.set()
        return True

    with pytest.raises(HostError):
        workers.run("volume", late)
    gate.set()
    returned.wait()
    patient = threading.Event()

    def ask() -> bool:
        try:
            return workers.run("volume", lambda: False)
        except HostError:  # its thread has not come to its end yet
            patient.wait(0.01)
            return True

    while ask():
        pass


def test_who_waits_is_few_and_leaves_room_for_other_volumes(
    gate: threading.Event,
) -> None:  # S26: each of them keeps a thread that answers calls
    workers = Workers[bool](CallLimit(), patience_seconds=PATIENCE_SECONDS, only_informs=False)
    begun, refused = threading.Event(), threading.Semaphore(0)

    def hold() -> bool:
        begun.set()
        return gate.wait()

    def ask() -> None:
        try:
            workers.run("volume", hold)
        except HostError:
            refused.release()

    waiting = [threading.Thread(target=ask) for _ in range(2 * MOST)]
    for each in waiting:
        each.start()
    begun.wait()
    for _ in range(2 * MOST - MOST_FOR_ONE):
        assert refused.acquire(timeout=LIMIT_SECONDS)
    other = workers.run("another volume", lambda: True)
    gate.set()
    for each in waiting:
        each.join()

    assert other
