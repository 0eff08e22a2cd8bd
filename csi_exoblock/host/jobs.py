"""Long work on a volume, such as mkfs, that outlives the call that began it (D10)."""

from __future__ import annotations

import contextvars
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import TypeVar

from csi_exoblock.concurrency import Deadline, begin_thread, carry_out
from csi_exoblock.config import Timing
from csi_exoblock.errors import DeadlineExceeded, HostError, OperationPending

T = TypeVar("T")

log = logging.getLogger(__name__)


# As many as disks may hang at once (S26): a check that takes hours keeps nobody else waiting.
_MOST_CHECKS = 16


class Kind(Enum):
    """Work of which only a bounded number goes on at once, each kind with a bound of its own."""

    FORMAT = "format"
    CHECK = "check"


class Jobs:
    """The long work under way: at most one per volume, and few of a kind at once.

    A job whose disk hangs keeps the others of its kind waiting no longer than a turn lasts (S26).

    A job is joined by the call that begins it, as long as that call lives. Later calls are told
    that it is under way, until it has ended; then they look at the disk like the first one.
    """

    def __init__(self, *, max_formats: int, timing: Timing) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, _Job] = {}
        self._when_idle: Callable[[], None] | None = None  # set once the process ends
        self._turns = {
            Kind.FORMAT: _Turns(max_formats, lasts_seconds=timing.format_turn),
            Kind.CHECK: _Turns(_MOST_CHECKS, lasts_seconds=math.inf),
        }

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
        kind: Kind | None = None,
    ) -> T:
        """Do the work in a thread of its own and return its result, or raise what it raised.

        Args:
            kind: Whose bound it counts against, so that it may have to wait for its turn; what was
                proven before that wait proves nothing after it (D2).

        Raises:
            OperationPending: Another job is under way for the volume.
            DeadlineExceeded: The deadline came first. Work that had begun goes on.
            HostError: The host has no thread left to do it in.
        """
        job = _Job(name)
        with self._lock:
            if self._when_idle:
                raise OperationPending(f"{volume}: the driver ends and begins no {name}; retry")
            first = self._under_way.setdefault(volume, job)
        if first is not job:
            self.check(volume)
        turns = self._turns[kind] if kind else None
        try:
            turn = turns.take(deadline) if turns else None
        except DeadlineExceeded:
            self._forget(volume, job)
            raise
        result: Future[T] = Future()

        def end() -> None:
            if turns and turn:
                turns.give_back(turn)
            self._forget(volume, job)

        def run() -> None:
            tell = carry_out(work, result)
            end()
            tell()

        context = contextvars.copy_context()  # what the job logs names the call that began it
        try:
            begin_thread(partial(context.run, run), name=name)
        except HostError:
            end()
            raise
        try:
            return deadline.result(result)
        except DeadlineExceeded:
            result.add_done_callback(_log_end)
            raise

    def drain(self, deadline: Deadline) -> None:
        """Begin no more jobs, and return when those under way have ended, or with the deadline.

        What a job runs outlives the process, but not the container whose process 1 that is (D10).
        """
        ended = threading.Event()
        with self._lock:
            self._when_idle = ended.set
            if not self._under_way:
                return
            log.info("waiting for long work", extra={"jobs": self._described()})
        deadline.pause(ended, deadline.remaining())
        with self._lock:
            if self._under_way:
                log.warning("long work is left behind", extra={"jobs": self._described()})

    def _described(self) -> str:
        return "; ".join(f"{volume}: {job}" for volume, job in self._under_way.items())

    def _forget(self, volume: str, job: _Job) -> None:
        with self._lock:
            if self._under_way.get(volume) is job:
                del self._under_way[volume]
            if self._when_idle and not self._under_way:
                self._when_idle()


class _Job:
    def __init__(self, name: str) -> None:
        self._name = name
        self._began = time.monotonic()

    def __str__(self) -> str:
        return f"{self._name} has been under way for {time.monotonic() - self._began:.0f} s"


class _Turns:
    """So many at once; the others wait in the order in which they came, each as long as it can.

    Args:
        lasts_seconds: After how long a turn no longer counts, whatever becomes of its work.
    """

    def __init__(self, number: int, *, lasts_seconds: float) -> None:
        self._number = number
        self._lasts_seconds = lasts_seconds
        self._lock = threading.Lock()
        self._ends: dict[Future[None], float] = {}
        self._waiting: deque[Future[None]] = deque()

    def take(self, deadline: Deadline) -> Future[None]:
        """Wait for a turn and return it.

        Raises:
            DeadlineExceeded: The deadline came first.
        """
        turn: Future[None] = Future()
        with self._lock:
            self._waiting.append(turn)
        while True:
            self._hand_out()
            try:
                deadline.within(self._lasts_seconds).result(turn)
            except DeadlineExceeded:
                if not deadline.remaining():
                    self.give_back(turn)
                    raise
            else:
                return turn

    def give_back(self, turn: Future[None]) -> None:
        """Give a turn back, or wait for it no more."""
        with self._lock:
            self._ends.pop(turn, None)
            with suppress(ValueError):
                self._waiting.remove(turn)
        self._hand_out()

    def _hand_out(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._ends = {turn: end for turn, end in self._ends.items() if end > now}
            while self._waiting and len(self._ends) < self._number:
                turn = self._waiting.popleft()
                self._ends[turn] = now + self._lasts_seconds
                turn.set_result(None)


def _log_end(result: Future[T]) -> None:
    error = result.exception()
    if error is None:
        log.info("a job ended after its call had gone")
    else:
        log.warning("a job failed after its call had gone", extra={"error": str(error)})
