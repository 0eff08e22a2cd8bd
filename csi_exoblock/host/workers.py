"""Calls into a file system that may never return, kept from holding up anybody else (S16)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, HostError

T = TypeVar("T")

_MOST_CALLS = 16


class Workers(Generic[T]):
    """Makes one kind of call, each in a thread and with little time: one per key, sixteen in all.

    Who asks what somebody else is asking already gets the same answer. Who asks what hangs is told
    so at once.

    Args:
        patience_seconds: How long a call may take before it counts as hung.
    """

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._calls: dict[str, _Call[T]] = {}

    def run(self, key: str, work: Callable[[], T]) -> T:
        """Do the work and return its result, or raise what it raised.

        Args:
            key: What the work looks at, as messages name it.

        Raises:
            HostError: It doesn't answer, as others before it perhaps, and is left behind.
        """
        with self._lock:
            call = self._calls.get(key) or self._begin(key, work)
        try:
            return call.patience.result(call.answer)
        except DeadlineExceeded as error:
            raise HostError(f"{key} doesn't answer; its disk may be gone") from error

    def _begin(self, key: str, work: Callable[[], T]) -> _Call[T]:
        if len(self._calls) >= _MOST_CALLS:
            raise HostError(f"{key} isn't asked: {_MOST_CALLS} other calls have not returned")
        call = self._calls[key] = _Call(Deadline(self._patience_seconds))
        threading.Thread(target=self._work, args=(key, work, call), daemon=True).start()
        return call

    def _work(self, key: str, work: Callable[[], T], call: _Call[T]) -> None:
        try:
            call.answer.set_result(work())
        except Exception as error:  # the top of a thread: whoever asked gets to see it
            call.answer.set_exception(error)
        with self._lock:
            del self._calls[key]


class _Call(Generic[T]):
    def __init__(self, patience: Deadline) -> None:
        self.patience = patience
        self.answer: Future[T] = Future()
