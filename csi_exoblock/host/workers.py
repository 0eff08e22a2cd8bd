"""Workers: calls into disks and file systems that might never return, in threads (S16, S26)."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Generic, Self, TypeVar

from csi_exoblock.concurrency import Deadline, carry_out
from csi_exoblock.errors import DeadlineExceeded, HostError, NoAnswer
from csi_exoblock.threads import begin_work

T = TypeVar("T")

_MOST_CALLS = 16
_KEPT_FREE = 4  # calls that only inform leave these to calls that a pod or a detach waits for
# Each waiting caller keeps a gRPC thread, of which a node has 32. One call gets half of them.
_MOST_WAITING = 16
_MOST_WAITING_FOR_ONE = 8


class CallLimit:
    """A bound on the calls that have not returned, and on the callers that wait for them.

    Args:
        most_calls: How many calls can be under way, each in a thread.
        most_waiting: How many callers can wait, each in a thread of gRPC's.
    """

    def __init__(self, *, most_calls: int = _MOST_CALLS, most_waiting: int = _MOST_WAITING) -> None:
        self._lock = threading.Lock()
        self._most_calls = most_calls
        self._calls = 0
        self._waiting = threading.Semaphore(most_waiting)

    @classmethod
    def for_each_disk(cls) -> Self:
        """Return one that lets every volume of an instance come or leave at the same time.

        Of gRPC's 32 threads it leaves some to what waits for no disk.
        """
        return cls(most_calls=64, most_waiting=24)

    def enter(self, *, only_informs: bool) -> bool:
        """Count one more call, and return whether the bound allows it."""
        with self._lock:
            most = self._most_calls - _KEPT_FREE if only_informs else self._most_calls
            has_place = self._calls < most
            self._calls += has_place
            return has_place

    def leave(self) -> None:
        """Count one call less."""
        with self._lock:
            self._calls -= 1

    @contextmanager
    def waiting(self, key: str) -> Iterator[None]:
        """Count a caller that waits inside the block for a call's answer.

        Raises:
            HostError: Too many callers wait already.
        """
        if not self._waiting.acquire(blocking=False):
            raise HostError(f"{key} isn't waited for: too many others wait for disks")
        try:
            yield
        finally:
            self._waiting.release()


class Workers(Generic[T]):
    """Makes calls of one kind, each in a thread with a timeout, and one at a time for each key.

    A second caller for a key shares the answer of the call that is under way, unless it needs a
    newer one. A call that has hung past its timeout fails later callers at once:

        workers.run("disk a", read)               # NoAnswer after `patience_seconds`; still runs
        workers.run("disk a", read)               # NoAnswer at once
        workers.run("disk b", read)               # returns: another key has another thread
        ...                                       # disk a answers, and its thread ends
        workers.run("disk a", read)               # calls again, and returns the new answer
        workers.run("disk a", read, joins=False)  # NoAnswer while an earlier call is under way

    Args:
        limit: Bounds the calls under way, of this kind and of the others that share it.
        patience_seconds: How long a call can take before it counts as hung.
        only_informs: Whether neither a pod nor a detach waits for the result.
        perhaps: Why a call might not answer, for the message.
    """

    def __init__(
        self,
        limit: CallLimit,
        *,
        patience_seconds: float,
        only_informs: bool,
        perhaps: str = "its disk may be gone",
    ) -> None:
        self._perhaps = perhaps
        self._limit = limit
        self._patience_seconds = patience_seconds
        self._only_informs = only_informs
        self._lock = threading.Lock()
        self._calls: dict[str, _Call[T]] = {}

    def run(
        self,
        key: str,
        work: Callable[[], T],
        deadline: Deadline | None = None,
        *,
        joins: bool = True,
    ) -> T:
        """Do the work in a thread, and return its result or raise its exception.

        Args:
            key: The subject of the work, as messages name it.
            deadline: The caller's, `None` to wait for `patience_seconds`.
            joins: Whether to share the answer of a call under way. If not, such a call is an
                error: two calls for one key never run at once.

        Raises:
            NoAnswer: The work took too long and goes on in its thread; or an earlier call for the
                key is hung, or too many calls have not returned.
            HostError: Too many callers wait for it already, or the host can start no more threads.
            DeadlineExceeded: The caller's time ended first; the work goes on.
        """
        with self._lock:
            call = self._calls.get(key)
            if call and not joins:
                raise NoAnswer(
                    f"{key} doesn't answer: an earlier call still waits for it; {self._perhaps}"
                )
            call = call or self._begin(key, work)
        if call.answer.done():
            return call.answer.result()
        seconds = call.patience.remaining()
        patience = deadline.within(seconds) if deadline else call.patience
        try:
            with self._limit.waiting(key), call.waiting(key):
                return patience.result(call.answer)
        except DeadlineExceeded as error:
            if deadline:
                deadline.check()
            raise NoAnswer(f"{key} doesn't answer; {self._perhaps}") from error

    def _begin(self, key: str, work: Callable[[], T]) -> _Call[T]:
        if not self._limit.enter(only_informs=self._only_informs):
            raise NoAnswer(f"{key} isn't asked: too many other calls have not returned")
        call = _Call[T](Deadline(self._patience_seconds))
        try:
            context = contextvars.copy_context()  # its log lines name the call that began it
            begin_work(partial(context.run, self._work, key, work, call), name=key)
        except HostError:
            self._limit.leave()
            raise
        self._calls[key] = call
        return call

    def _work(self, key: str, work: Callable[[], T], call: _Call[T]) -> None:
        tell = carry_out(work, call.answer)
        self._limit.leave()
        with self._lock:
            del self._calls[key]
        tell()


class _Call(Generic[T]):
    def __init__(self, patience: Deadline) -> None:
        self.patience = patience
        self.answer: Future[T] = Future()
        self._waiting = threading.Semaphore(_MOST_WAITING_FOR_ONE)

    @contextmanager
    def waiting(self, key: str) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise HostError(f"{key} isn't waited for: too many others wait for it")
        try:
            yield
        finally:
            self._waiting.release()
