"""Long work on a volume, such as mkfs, that outlives the call that began it (D10)."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from typing import TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, OperationPending

T = TypeVar("T")

log = logging.getLogger(__name__)


class Jobs:
    """The long work under way: at most one per volume, and few that need much memory at once.

    A job is joined by the call that begins it, as long as that call lives. Later calls are told
    that it is under way, until it has ended; then they look at the disk like the first one.
    """

    def __init__(self, *, max_heavy: int) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, _Job] = {}
        self._heavy = threading.BoundedSemaphore(max_heavy)

    def check(self, volume: str) -> None:
        """Return if nothing is under way for the volume.

        Raises:
            OperationPending: A job is; the message says which and for how long.
        """
        with self._lock:
            job = self._under_way.get(volume)
        if job is not None:
            raise OperationPending(f"{volume}: {job}; it is not interrupted; retry")

    def run(
        self,
        volume: str,
        name: str,
        work: Callable[[], T],
        deadline: Deadline,
        *,
        heavy: bool = False,
    ) -> T:
        """Do the work in a thread of its own and return its result, or raise what it raised.

        Args:
            heavy: Whether it counts against the node's limit, and so may have to wait its turn.

        Raises:
            OperationPending: Another job is under way for the volume.
            DeadlineExceeded: The deadline came first. Work that had begun goes on.
        """
        job = _Job(name)
        with self._lock:
            first = self._under_way.setdefault(volume, job)
        if first is not job:
            self.check(volume)
        turn = self._heavy if heavy else nullcontext()
        result: Future[T] = Future()

        def in_turn() -> None:
            with turn:
                if not result.set_running_or_notify_cancel():
                    return
                outcome = _carry_out(work, result)
            self._forget(volume, job)
            outcome()

        context = contextvars.copy_context()  # what the job logs names the call that began it
        threading.Thread(target=context.run, args=(in_turn,), name=name, daemon=True).start()
        try:
            return deadline.result(result)
        except DeadlineExceeded:
            if result.cancel():  # it was still waiting for its turn
                self._forget(volume, job)
            else:
                result.add_done_callback(_log_end)
            raise

    def _forget(self, volume: str, job: _Job) -> None:
        with self._lock:
            if self._under_way.get(volume) is job:
                del self._under_way[volume]


class _Job:
    def __init__(self, name: str) -> None:
        self._name = name
        self._began = time.monotonic()

    def __str__(self) -> str:
        return f"{self._name} has been under way for {time.monotonic() - self._began:.0f} s"


def _carry_out(work: Callable[[], T], result: Future[T]) -> Callable[[], None]:
    """Do the work; whoever waits learns of its end by calling what this returns."""
    try:
        value = work()
    except Exception as error:  # the top of a thread: whoever waits gets to see it
        failure = error
        return lambda: result.set_exception(failure)
    return lambda: result.set_result(value)


def _log_end(result: Future[T]) -> None:
    error = result.exception()
    if error is None:
        log.info("a job ended after its call had gone")
    else:
        log.warning("a job failed after its call had gone", extra={"error": str(error)})
