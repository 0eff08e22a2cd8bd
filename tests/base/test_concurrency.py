"""How calls wait: never longer than they may, and never for an answer older than the question."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from csi_exoblock.concurrency import Deadline, SharedCall, SharedSearch, pauses
from csi_exoblock.errors import DeadlineExceeded, DriverError, HostError, OperationPending
from tests.support.asking import LONG_SECONDS, Asking
from tests.support.threads import without_threads
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fast


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Provide threads to wait in, all of which have ended when the test has."""
    with ThreadPoolExecutor() as executor:
        yield executor


class Runs:
    """A call that counts its runs and holds each until it is told to go on."""

    def __init__(self) -> None:
        self.begun = [threading.Event() for _ in range(3)]
        self.go_on = [threading.Event() for _ in range(3)]
        self.fail = False
        self._numbers = itertools.count()

    def __call__(self) -> int:
        number = next(self._numbers)
        self.begun[number].set()
        self.go_on[number].wait()
        if self.fail:
            raise DriverError(f"run {number} failed")
        return number


# Deadline


def test_deadline_in_the_future_lets_time_pass() -> None:
    deadline = Deadline(LONG_SECONDS)

    deadline.wait(0.001)

    assert 0 < deadline.check() <= LONG_SECONDS


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_deadline_that_is_over_ends_every_wait(seconds: float) -> None:
    deadline = Deadline(seconds)

    assert deadline.remaining() == 0.0
    with pytest.raises(DeadlineExceeded, match="ended"):
        deadline.wait(LONG_SECONDS)
    with pytest.raises(DeadlineExceeded, match="ended"):
        deadline.result(Future())


def test_wait_that_does_not_fit_ends_with_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        Deadline(0.01).wait(LONG_SECONDS)


def test_no_deadline_as_grpc_reports_it_is_one_that_can_be_waited_for() -> None:
    future: Future[str] = Future()
    future.set_result("done")

    assert Deadline(9.2e18).result(future) == "done"


def test_cancel_ends_a_wait_at_once(threads: ThreadPoolExecutor) -> None:
    deadline = Asking()
    waits = threads.submit(deadline.wait, LONG_SECONDS)
    joins = threads.submit(deadline.result, Future[None]())
    deadline.asked.wait()

    deadline.cancel()

    for ended in (waits, joins):
        with pytest.raises(DeadlineExceeded, match="cancelled"):
            ended.result()


def test_cancel_ends_the_waits_to_come_and_those_within() -> None:
    deadline = Deadline(LONG_SECONDS)
    sooner = deadline.within(LONG_SECONDS / 2)

    deadline.cancel()

    for cancelled in (deadline, sooner, sooner.within(1.0)):
        with pytest.raises(DeadlineExceeded, match="cancelled"):
            cancelled.wait(LONG_SECONDS)


def test_cancel_of_a_part_cancels_the_call() -> None:
    deadline = Deadline(LONG_SECONDS)

    deadline.within(1.0).cancel()

    assert deadline.remaining() == 0.0


def test_within_is_never_later_than_the_whole() -> None:
    assert Deadline(1.0).within(LONG_SECONDS).remaining() <= 1.0
    assert Deadline(LONG_SECONDS).within(1.0).remaining() <= 1.0


def test_result_raises_what_the_work_raised() -> None:
    future: Future[None] = Future()
    future.set_exception(OperationPending("busy"))

    with pytest.raises(OperationPending, match="busy"):
        Deadline(LONG_SECONDS).result(future)


def test_work_that_is_done_has_its_result_even_after_the_deadline() -> None:
    future: Future[str] = Future()
    future.set_result("done")

    assert Deadline(0.0).result(future) == "done"


# pauses


def test_pauses_grow_to_the_longest_and_never_leave_their_tenth() -> None:
    exact = [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]

    taken = list(itertools.islice(pauses(1.0, 5.0, growth=2.0), len(exact)))

    assert taken == pytest.approx(exact, rel=0.1)
    assert taken != exact  # spread, so that callers don't come back together


# SharedCall


def test_question_is_answered_by_a_run_that_began_after_it(threads: ThreadPoolExecutor) -> None:
    runs, early, late, latest = Runs(), Asking(), Asking(), Asking()
    shared = SharedCall(runs, name="list")
    first = threads.submit(shared.get, early)
    runs.begun[0].wait()
    second = threads.submit(shared.get, late)
    third = threads.submit(shared.get, latest)
    late.asked.wait()
    latest.asked.wait()

    runs.go_on[0].set()
    runs.go_on[1].set()

    assert first.result() == 0
    assert (second.result(), third.result()) == (1, 1)  # S20: one run for both, and a fresh one
    assert not runs.begun[2].is_set()


def test_error_is_shared_and_the_next_question_runs_again(threads: ThreadPoolExecutor) -> None:
    runs, deadlines = Runs(), [Asking(), Asking()]
    shared = SharedCall(runs, name="list")
    opening = threads.submit(shared.get, Deadline(LONG_SECONDS))
    runs.begun[0].wait()
    joined = [threads.submit(shared.get, deadline) for deadline in deadlines]
    for deadline in deadlines:
        deadline.asked.wait()
    runs.go_on[0].set()
    opening.result()

    runs.fail = True
    runs.go_on[1].set()

    for each in joined:
        with pytest.raises(DriverError, match="run 1 failed"):
            each.result()
    runs.fail = False
    runs.go_on[2].set()
    assert shared.get(Deadline(LONG_SECONDS)) == 2


def apart() -> float:
    return 0.3


def test_runs_are_kept_apart_for_more_to_share_each(threads: ThreadPoolExecutor) -> None:  # S20
    began: list[float] = []
    shared = SharedCall(lambda: began.append(time.monotonic()), name="list", seconds_between=apart)
    asked_first = time.monotonic()
    shared.get(Deadline(LONG_SECONDS))

    asked_for = [threads.submit(shared.get, Deadline(LONG_SECONDS)) for _ in range(20)]
    for each in asked_for:
        each.result()

    assert began[1] - asked_first >= apart()
    assert len(began) < 20


@contextmanager
def running(
    shared: SharedCall[int], runs: Runs, threads: ThreadPoolExecutor
) -> Iterator[Future[int]]:
    """Have run 0 under way during the block."""
    answer = threads.submit(shared.get, Deadline(LONG_SECONDS))
    runs.begun[0].wait()
    yield answer
    runs.go_on[0].set()


def test_run_goes_on_for_the_others_when_one_gives_up(threads: ThreadPoolExecutor) -> None:
    runs = Runs()
    shared = SharedCall(runs, name="list")

    with running(shared, runs, threads) as patient:
        cancelled = Asking()
        impatient = threads.submit(shared.get, cancelled)
        cancelled.asked.wait()
        cancelled.cancel()
        with pytest.raises(DeadlineExceeded, match="cancelled"):
            impatient.result()
        runs.go_on[1].set()

    assert patient.result() == 0


def test_thread_of_a_shared_call_is_free_when_nobody_asks(threads: ThreadPoolExecutor) -> None:
    runs = Runs()
    shared = SharedCall(runs, name="list of the test")

    with running(shared, runs, threads):
        (thread,) = (each for each in threading.enumerate() if each.name == "list of the test")

    wait_until(lambda: thread.name != "list of the test", "the end of the run")
    assert not runs.begun[1].is_set()


def test_run_that_nobody_waits_for_is_begun_once(threads: ThreadPoolExecutor) -> None:
    runs = Runs()
    shared = SharedCall(runs, name="list")

    shared.begin()
    runs.begun[0].wait()
    shared.begin()
    late = threads.submit(shared.get, Deadline(LONG_SECONDS))
    wait_until(lambda: shared._next is not None)
    shared.begin()
    for each in runs.go_on:
        each.set()

    assert late.result() == 1
    assert not runs.begun[2].is_set()


def test_question_for_which_there_was_no_thread_holds_up_no_other() -> None:
    shared = SharedCall(lambda: 1, name="run")
    with without_threads(), pytest.raises(HostError, match="no thread for run"):
        shared.get(Deadline(LONG_SECONDS))

    assert shared.get(Deadline(LONG_SECONDS)) == 1


# SharedSearch


def test_a_search_is_told_what_each_of_those_that_it_answers_seeks(
    threads: ThreadPoolExecutor,
) -> None:  # D4: a disk is proven free by a search for that very disk
    runs = Runs()
    told: list[frozenset[str]] = []

    def search(sought: Sequence[str]) -> int:
        told.append(frozenset(sought))
        return runs()

    shared = SharedSearch(search, name="search")
    first = threads.submit(shared.get, "a")
    runs.begun[0].wait()
    later = {name: threads.submit(shared.get, name) for name in ("b", "c")}
    for each in runs.go_on:
        each.set()

    assert told[first.result()] == {"a"}
    for name, answer in later.items():
        assert answer.result() > 0  # a search under way can have passed what changed since
        assert name in told[answer.result()]
