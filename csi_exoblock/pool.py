"""The threads that answer calls; the pool goes on with fewer if the host has no more (S26)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.threads import begin_thread

T = TypeVar("T")

log = logging.getLogger(__name__)

# Threads begun at once, so that some exist even if a limit on processes comes later.
_FIRST = 4


class Pool(Executor):
    """Runs calls in threads that are begun when they are needed, and then kept.

    `ThreadPoolExecutor` raises from `submit` when no thread can be begun. That ends gRPC's only
    serving thread, so that nothing is ever answered again. Here the call waits for a free thread.

        pool = Pool(32, name="rpc")
        pool.submit(call)  # runs in one of the first threads
        ...                # the first threads are all taken, and the host's limit is reached:
        pool.submit(call)  # waits until a thread is free, or another call finds the limit lifted

    Args:
        most: The most threads.
    """

    def __init__(self, most: int, *, name: str) -> None:
        self._most = most
        self._name = name
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._unfinished = 0  # waiting or running
        self._idle = threading.Event()
        self._idle.set()

    def start(self) -> None:
        """Begin the first threads.

        Raises:
            HostError: The host has no thread left.
        """
        with self._lock:
            for _ in range(min(_FIRST, self._most)):
                self._begin_thread()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function as soon as a thread is free for it."""
        result: Future[T] = Future()
        with self._lock:
            self._unfinished += 1
            self._idle.clear()
            self._work.put(partial(_carry_out, result, partial(fn, *args, **kwargs)))
            try:
                while self._threads < min(self._unfinished, self._most):
                    self._begin_thread()
            except HostError as error:
                log.warning("a call waits for a thread", extra={"error": str(error)})
        return result

    def wait_until_idle(self, deadline: Deadline) -> None:
        """Wait until nothing runs or waits any more, at most until the deadline."""
        while not self._idle.is_set() and (seconds := deadline.remaining()):
            deadline.pause(self._idle, seconds)

    def _begin_thread(self) -> None:
        begin_thread(self._run, name=f"{self._name}-{self._threads}")
        self._threads += 1

    def _run(self) -> None:
        while True:
            self._work.get()()
            with self._lock:
                self._unfinished -= 1
                if not self._unfinished:
                    self._idle.set()


def _carry_out(result: Future[T], work: Callable[[], T]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        value = work()
    except BaseException as error:  # the top of a thread, which must not end
        result.set_exception(error)
    else:
        result.set_result(value)
