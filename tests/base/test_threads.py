"""Threads for short work are used again, and no work waits for another."""

from __future__ import annotations

import contextvars
import os
import threading

import pytest

from csi_exoblock.threads import begin_work

pytestmark = pytest.mark.fast

WAIT_SECONDS = 30.0

subject: contextvars.ContextVar[str] = contextvars.ContextVar("subject", default="nothing")


def run_one(name: str = "work") -> threading.Thread:
    """Run something short, and return the thread that did."""
    did: list[threading.Thread] = []
    done = threading.Event()

    def work() -> None:
        did.append(threading.current_thread())
        done.set()

    begin_work(work, name=name)
    assert done.wait(WAIT_SECONDS)
    return did[0]


def test_a_thread_that_has_ended_its_work_takes_more() -> None:
    first = run_one()

    assert any(run_one() is first for _ in range(1000))


def test_work_begins_though_every_other_is_stuck() -> None:
    stuck = threading.Event()
    for _ in range(20):
        begin_work(stuck.wait, name="stuck")

    try:
        run_one()
    finally:
        stuck.set()


def test_many_pieces_of_work_at_once_all_run() -> None:
    left = 200
    lock, done = threading.Lock(), threading.Event()

    def work() -> None:
        nonlocal left
        with lock:
            left -= 1
            if not left:
                done.set()

    for _ in range(left):
        begin_work(work, name="work")

    assert done.wait(WAIT_SECONDS)


def test_work_leaves_nothing_behind_for_the_next() -> None:
    seen: set[str] = set()
    for _ in range(50):
        done = threading.Event()

        def work(done: threading.Event = done) -> None:
            seen.add(subject.get())
            subject.set("a volume")
            done.set()

        begin_work(work, name="work")
        assert done.wait(WAIT_SECONDS)

    assert seen == {"nothing"}


def test_a_thread_is_named_after_its_work() -> None:
    for _ in range(20):
        names: list[str] = []
        done = threading.Event()

        def work(names: list[str] = names, done: threading.Event = done) -> None:
            names.append(threading.current_thread().name)
            done.set()

        begin_work(work, name="disk a")
        assert done.wait(WAIT_SECONDS)
        assert names == ["disk a"]


def test_a_process_that_was_forked_does_not_wait_for_threads_of_its_parent() -> None:
    run_one()
    child = os.fork()
    if child == 0:
        run_one()
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
