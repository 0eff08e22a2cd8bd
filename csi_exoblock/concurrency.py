"""How calls wait: a deadline ends every wait, and one read answers many concurrent calls."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

from csi_exoblock import calls
from csi_exoblock.errors import DeadlineExceeded, OperationPending
from csi_exoblock.threads import begin_work

S = TypeVar("S")
T = TypeVar("T")

# gRPC reports about 9e18 s if the caller set no deadline; no lock or event can wait that long.
_LONGEST_SECONDS = 24 * 3600.0


class Deadline:
    """The moment by which a call must answer; cancelling it ends all waits of the call.

        deadline = Deadline(120.0)
        deadline.wait(5.0)             # returns after 5 seconds
        short = deadline.within(2.0)   # 2 seconds from now, or less if `deadline` comes first
        short.result(future)           # raises DeadlineExceeded after 2 seconds
        deadline.remaining()           # 113.0
        deadline.cancel()              # from another thread: the caller hung up
        deadline.wait(5.0)             # raises DeadlineExceeded at once, as `short` does

    Args:
        seconds: Seconds from now; more than a day counts as a day.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + min(max(seconds, 0.0), _LONGEST_SECONDS)
        self._cancellation = _Cancellation()

    def within(self, seconds: float) -> Self:
        """Return a deadline in `seconds`, or at this one if that is sooner; `cancel` ends both."""
        sooner = type(self)(min(seconds, self.remaining()))
        sooner._cancellation = self._cancellation
        return sooner

    def remaining(self) -> float:
        """Return the seconds left: 0.0 once the time is over or the call was cancelled."""
        return 0.0 if self._cancellation.requested else max(0.0, self._end - time.monotonic())

    def check(self) -> float:
        """Return the seconds left, never 0.0.

        Raises:
            DeadlineExceeded: The time is over, or the call was cancelled.
        """
        if seconds := self.remaining():
            return seconds
        if self._cancellation.requested:
            raise DeadlineExceeded("the caller cancelled the call; a retry continues the work")
        raise DeadlineExceeded("the time for the call ended; a retry continues the work")

    def cancel(self) -> None:
        """End every present and future wait of this call at once."""
        self._cancellation.request()

    def wait(self, seconds: float) -> None:
        """Wait for some seconds.

        Raises:
            DeadlineExceeded: The time was over first, or the call was cancelled.
        """
        self.pause(threading.Event(), seconds)
        self.check()

    def result(self, future: Future[T]) -> T:
        """Wait for another thread's work; return its result or raise its exception.

        Raises:
            DeadlineExceeded: The time was over first, or the call was cancelled; the work goes on.
        """
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not future.done():
            self.pause(done, self.check())
        return future.result()

    def pause(self, waker: threading.Event, seconds: float) -> None:
        """Wait for some seconds, or until the event is set or the call ends."""
        with self._cancellation.waking(waker):
            waker.wait(min(seconds, self.remaining()))


class _Cancellation:
    """Whether a call was cancelled, and the events of its waiting threads."""

    def __init__(self) -> None:
        self.requested = False
        self._lock = threading.Lock()
        self._sleepers: set[threading.Event] = set()

    def request(self) -> None:
        with self._lock:
            self.requested = True
            for sleeper in self._sleepers:
                sleeper.set()

    @contextmanager
    def waking(self, sleeper: threading.Event) -> Iterator[None]:
        with self._lock:
            self._sleepers.add(sleeper)
            if self.requested:
                sleeper.set()
        try:
            yield
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)


def carry_out(work: Callable[[], T], result: Future[T]) -> Callable[[], None]:
    """Do the work; return a function that hands its result or exception to the waiters."""
    try:
        value = work()
    except Exception as error:  # the top of a thread: the waiters raise it
        failure = error
        return lambda: result.set_exception(failure)
    return lambda: result.set_result(value)


def pauses(first_seconds: float, longest_seconds: float, *, growth: float) -> Iterator[float]:
    """Yield without end the seconds to pause before each further attempt.

    Each pause is `growth` times the one before. It varies at random by a tenth, so that calls that
    failed together are not repeated together.
    """
    seconds = first_seconds
    while True:
        yield seconds * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards no secret
        seconds = min(seconds * growth, longest_seconds)


class SharedCall(Generic[T]):
    """A read that concurrent callers share: one run answers all callers that came before it began.

    A caller never joins a run that is under way, because that run might have read before the change
    that the caller wants to see. It waits for the next run, with all others that come meanwhile.

        volumes = SharedCall(list_volumes, name="volumes")
        volumes.get(deadline)  # thread 1: run A begins
        volumes.get(deadline)  # thread 2, while A runs: waits for run B
        volumes.get(deadline)  # thread 3, while A runs: waits for run B too
        ...                    # A ends: thread 1 returns, and B begins at once
        ...                    # thread 2's deadline comes: it raises, and B goes on
        ...                    # B ends: thread 3 returns what B read

    Args:
        call: Does the read; runs in a thread of its own.
        name: Name of that thread.
        seconds_between: Returns the least seconds from the begin of a run to that of the next one;
            more callers then share each run.
    """

    def __init__(
        self,
        call: Callable[[], T],
        *,
        name: str,
        seconds_between: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._call = call
        self._name = name
        self._seconds_between = seconds_between
        self._began = -math.inf
        self._lock = threading.Lock()
        self._next: Future[T] | None = None
        self._running = False

    def get(self, deadline: Deadline) -> T:
        """Return the result of a run that began after this call, or raise its exception.

        Raises:
            DeadlineExceeded: The deadline came first; the run goes on for the other callers.
            HostError: There is no thread for a run; the next call tries again to begin one.
        """
        with self._lock:
            answer = self._next = self._next or Future()
            if not self._running:
                self._begin_run()
        return deadline.result(answer)

    def begin(self) -> None:
        """Begin a run that nobody waits for, unless one is under way.

        Raises:
            HostError: There is no thread for it.
        """
        with self._lock:
            if not self._running:
                self._begin_run()

    def _begin_run(self) -> None:
        """Begin the run that answers the callers so far; the lock is held."""
        self._next = self._next or Future()
        begin_work(self._run, name=self._name)
        self._running = True

    def _run(self) -> None:
        while True:
            self._keep_apart()
            if (answer := self._take()) is None:
                break
            try:
                answer.set_result(self._call())
            except Exception as error:  # the top of a thread: the callers raise it
                answer.set_exception(error)

    def _keep_apart(self) -> None:
        since = time.monotonic() - self._began
        threading.Event().wait(max(0.0, self._seconds_between() - since))
        self._began = time.monotonic()

    def _take(self) -> Future[T] | None:
        with self._lock:
            answer, self._next = self._next, None
            self._running = answer is not None
            return answer


class SharedSearch(Generic[S, T]):
    """A shared call that is told what each of the callers that it answers seeks.

    Args:
        search: Searches for all of it at once; each caller finds its own in the result.
    """

    def __init__(self, search: Callable[[Sequence[S]], T], *, name: str) -> None:
        self._search = search
        self._lock = threading.Lock()
        self._sought: Counter[S] = Counter()  # by the callers that wait
        self._shared = SharedCall(self._run, name=name)

    def get(self, sought: S) -> T:
        """Return the result of a search that began after this call, or raise its exception.

        Raises:
            HostError: There is no thread for it.
        """
        with self._lock:
            self._sought[sought] += 1
        try:
            return self._shared.get(Deadline(math.inf))
        finally:
            with self._lock:
                self._sought[sought] -= 1
                self._sought += Counter()  # forgets what nobody seeks

    def _run(self) -> T:
        with self._lock:
            sought = list(self._sought)
        return self._search(sought)


class Holds:
    """Locks by volume or name: one call holds each, and a second call fails at once.

    A hold ends with its block, also by an exception (S5).

        with holds.hold("volume ch-gva-2/6f…"):  # call 1
            ...
        with holds.hold("volume ch-gva-2/6f…"):  # call 2, meanwhile: raises OperationPending,
            ...                                  # "NodeStageVolume has held it for 3 s (…)"
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[str, _Hold] = {}

    @contextmanager
    def hold(self, thing: str) -> Iterator[None]:
        """Hold a volume or name for the length of the block.

        Args:
            thing: Its kind and id as messages show them, such as `volume ch-gva-2/6f…`.

        Raises:
            OperationPending: Another call holds it; the message names that call, how long it has
                held it, and its step.
        """
        mine = _Hold()
        with self._lock:
            holder = self._holders.setdefault(thing, mine)
        if holder is not mine:
            raise OperationPending(f"{thing}: {holder}; retry")
        try:
            yield
        finally:
            with self._lock:
                del self._holders[thing]

    def oldest_seconds(self) -> float:
        """Return the age of the oldest hold in seconds, 0.0 while nothing is held."""
        with self._lock:
            return max((each.seconds() for each in self._holders.values()), default=0.0)


class _Hold:
    """The call that holds a volume or name, and when it began to."""

    def __init__(self) -> None:
        self._call = calls.current() or calls.Call("the driver itself", {})
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __str__(self) -> str:
        return f"{self._call.name} has held it for {self.seconds():.0f} s ({self._call.step})"
