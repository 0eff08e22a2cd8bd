"""How calls wait: a deadline ends every wait, and one answer serves all who asked in time."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

from csi_exoblock import logs
from csi_exoblock.errors import DeadlineExceeded, HostError, OperationPending

T = TypeVar("T")

# gRPC reports about 9e18 s where the caller set no deadline, which no lock or event can wait for.
_LONGEST_SECONDS = 24 * 3600.0


class Deadline:
    """The moment by which a call must answer, and the one place that can end its waits early."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + min(max(seconds, 0.0), _LONGEST_SECONDS)
        self._cancellation = _Cancellation()

    def within(self, seconds: float) -> Self:
        """Return a deadline at most so many seconds away, not after this one, cancelled with it."""
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
        """End every wait of this call at once, those to come included."""
        self._cancellation.request()

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass.

        Raises:
            DeadlineExceeded: The time was over first, or the call was cancelled.
        """
        self.pause(threading.Event(), seconds)
        self.check()

    def result(self, future: Future[T]) -> T:
        """Wait for somebody else's work and return its result, or raise what it raised.

        Raises:
            DeadlineExceeded: The time was over first, or the call was cancelled; the work goes on.
        """
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not future.done():
            self.pause(done, self.check())
        return future.result()

    def pause(self, waker: threading.Event, seconds: float) -> None:
        """Let at most so many seconds pass, fewer if the event comes or the call ends."""
        with self._cancellation.waking(waker):
            waker.wait(min(seconds, self.remaining()))


class _Cancellation:
    """Whether a call was cancelled, and whom to wake when it is."""

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


def begin_thread(run: Callable[[], object], *, name: str) -> None:
    """Run something in a thread of its own, which ends with the process at the latest.

    Raises:
        HostError: The host has no thread left for the process, so nothing was begun.
    """
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        raise HostError(
            f"no thread for {name}: {error}; raise the limit on processes (pids), or retry later"
        ) from error


def carry_out(work: Callable[[], T], result: Future[T]) -> Callable[[], None]:
    """Do the work; those who wait learn of its end by calling what this returns."""
    try:
        value = work()
    except Exception as error:  # the top of a thread: those who wait get to see it
        failure = error
        return lambda: result.set_exception(failure)
    return lambda: result.set_result(value)


def pauses(first_seconds: float, longest_seconds: float, *, growth: float) -> Iterator[float]:
    """Yield, without end, how long to pause before each further attempt.

    Each pause is the one before times `growth`, and each is spread by a tenth either way, so that
    those who failed together don't come back together.
    """
    seconds = first_seconds
    while True:
        yield seconds * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards no secret
        seconds = min(seconds * growth, longest_seconds)


class SharedCall(Generic[T]):
    """A read that many may want at once: one run answers all who asked before it began.

    A run that is under way when the question comes may have looked too early for the asker, so it
    is never joined: the asker waits for the next one, with everybody else who came meanwhile.

    Args:
        seconds_between: How far apart runs begin at least, for more to share each of them.
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
        """Return the result of a run that began after this call, or raise what it raised.

        Raises:
            DeadlineExceeded: The deadline came first; the run goes on for the others.
            HostError: There is no thread for a run; whoever asks next tries again.
        """
        with self._lock:
            if self._next is None:
                self._next = Future()
            answer = self._next
            if not self._running:
                begin_thread(self._run, name=self._name)
                self._running = True
        return deadline.result(answer)

    def _run(self) -> None:
        while True:
            self._keep_apart()
            if (answer := self._take()) is None:
                break
            try:
                answer.set_result(self._call())
            except Exception as error:  # the top of a thread: whoever asked gets to see it
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


class Holds:
    """Who works on what: one call at a time for each volume or name, and nobody waits in a queue.

    A hold ends with the block that took it, however that ends (S5).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[str, _Hold] = {}

    @contextmanager
    def hold(self, thing: str) -> Iterator[None]:
        """Hold a thing for the length of the block.

        Args:
            thing: Its kind and id as messages name it, such as `volume ch-gva-2/6f…`.

        Raises:
            OperationPending: Somebody holds it; the message says who, since when and at what step.
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
        """Return the age of the oldest hold, 0.0 while nothing is held."""
        with self._lock:
            return max((each.seconds() for each in self._holders.values()), default=0.0)


class _Hold:
    """The call that holds something, and since when."""

    def __init__(self) -> None:
        self._call = logs.current() or logs.Call("the driver itself", {})
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __str__(self) -> str:
        return f"{self._call.name} has held it for {self.seconds():.0f} s ({self._call.step})"
