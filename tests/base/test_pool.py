"""The threads that answer calls: kept for the next ones, and known to be idle or not (S22, S26)."""

from __future__ import annotations

import threading

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.pool import Pool

pytestmark = pytest.mark.fast

LIMIT_SECONDS = 30.0


@pytest.fixture
def pool() -> Pool:
    return Pool(2, name="tested")


def test_a_pool_is_idle_only_once_all_its_calls_have_ended(pool: Pool) -> None:  # S22
    gate, seen = threading.Event(), []
    long = pool.submit(gate.wait)
    short = pool.submit(int)
    short.result(LIMIT_SECONDS)
    pool.submit(int).result(LIMIT_SECONDS)  # in the same thread, so the one before has left it

    pool.wait_until_idle(Deadline(0.0))
    seen.append(long.done())
    threading.Timer(0.05, gate.set).start()
    pool.wait_until_idle(Deadline(LIMIT_SECONDS))
    seen.append(long.done())

    assert seen == [False, True]


def test_an_error_goes_to_who_asked_and_ends_no_thread(pool: Pool) -> None:  # S26
    def fail() -> None:
        raise SystemExit("broken on purpose")

    for _ in range(5):  # more than there are threads
        with pytest.raises(SystemExit, match="broken on purpose"):
            pool.submit(fail).result(LIMIT_SECONDS)

    assert pool.submit(lambda: "answer").result(LIMIT_SECONDS) == "answer"


def test_calls_take_turns_in_no_more_threads_than_there_may_be(pool: Pool) -> None:  # S21
    names: set[str] = set()
    calls = [pool.submit(lambda: names.add(threading.current_thread().name)) for _ in range(50)]

    for each in calls:
        each.result(LIMIT_SECONDS)

    assert len(names) <= 2
