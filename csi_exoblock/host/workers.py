"""Calls into a disk or file system that may never return; they hold up nobody else (S16, S26)."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

from csi_exoblock.concurrency import Deadline, begin_thread, carry_out
from csi_exoblock.errors import DeadlineExceeded, HostError, NoAnswer

T = TypeVar("T")

_MOST_CALLS = 16
_KEPT_FREE = 4  # by calls that only inform, for those that let a pod start or a volume leave
# Each keeps a gRPC thread, of which a node has 32; half of them for one disk.
_MOST_WAITING = 16
_MOST_WAITING_FOR_ONE = 8


class Room:
    """Bounds the calls that have not returned, and the callers that wait for one.

    Args:
        most_calls: How many calls, each with a thread.
        most_waiting: How many callers, each with a thread of gRPC's.
    """

    def __init__(self, *, most_calls: int = _MOST_CALLS, most_waiting: int = _MOST_WAITING) -> None:
        self._lock = threading.Lock()
        self._most_calls = most_calls
        self._calls = 0
        self._waiting = threading.Semaphore(most_waiting)

    def enter(self, *, only_informs: bool) -> bool:
        """Take the place of one more call, and return whether there was one."""
        with self._lock:
            most = self._most_calls - _KEPT_FREE if only_informs else self._most_calls
            has_place = self._calls < most
            self._calls += has_place
            return has_place

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._calls -= 1

    @contextmanager
    def waiting(self, key: str) -> Iterator[None]:
        """Let somebody wait for a call's answer in the block.

        Raises:
            HostError: Too many others wait already.
        """
        if not self._waiting.acquire(blocking=False):
            raise HostError(f"{key} isn't waited for: too many others wait for disks")
        try:
            yield
        finally:
            self._waiting.release()


class Workers(Generic[T]):
    """Makes one kind of call, each in a thread and with little time: one at a time for each key.

    Who asks what somebody else is asking already gets the same answer, if that may be older than
    the question. Who asks what hangs is told so at once.

    Args:
        room: Bounds how many are under way, of this and of every other kind.
        patience_seconds: How long a call may take before it counts as hung.
        only_informs: Whether no pod waits for what it returns.
        perhaps: Why one may not answer, for the message.
    """

    def __init__(
        self,
        room: Room,
        *,
        patience_seconds: float,
        only_informs: bool,
        perhaps: str = "its disk may be gone",
    ) -> None:
        self._perhaps = perhaps
        self._room = room
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
        """Do the work and return its result, or raise what it raised.

        Args:
            key: What the work looks at, as messages name it.
            deadline: The caller's, `None` for one that waits as long as the work may take.
            joins: Whether the answer to an earlier question will do. Nothing is begun beside that
                question either way.

        Raises:
            NoAnswer: It doesn't answer, as others before it perhaps, and is left behind.
            HostError: Too many wait for it already, or the host has no thread left.
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
            with self._room.waiting(key), call.waiting(key):
                return patience.result(call.answer)
        except DeadlineExceeded as error:
            if deadline:
                deadline.check()
            raise NoAnswer(f"{key} doesn't answer; {self._perhaps}") from error

    def _begin(self, key: str, work: Callable[[], T]) -> _Call[T]:
        if not self._room.enter(only_informs=self._only_informs):
            raise NoAnswer(f"{key} isn't asked: too many other calls have not returned")
        call = _Call[T](Deadline(self._patience_seconds))
        try:
            context = contextvars.copy_context()  # what it logs names the call that began it
            begin_thread(partial(context.run, self._work, key, work, call), name=key)
        except HostError:
            self._room.leave()
            raise
        self._calls[key] = call
        return call

    def _work(self, key: str, work: Callable[[], T], call: _Call[T]) -> None:
        tell = carry_out(work, call.answer)
        self._room.leave()
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
            raise HostError(f"{key} isn't waited for: others do already")
        try:
            yield
        finally:
            self._waiting.release()
