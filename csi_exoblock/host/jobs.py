"""Jobs: long work on a volume, such as mkfs, that outlives the call that began it (D10)."""

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

from csi_exoblock.concurrency import Deadline, carry_out
from csi_exoblock.errors import DeadlineExceeded, HostError, OperationPending
from csi_exoblock.threads import begin_thread
from csi_exoblock.timing import HostTiming

T = TypeVar("T")

log = logging.getLogger(__name__)

# The number of disks that can hang at once (S26), so a check that takes hours delays no other.
_MOST_CHECKS = 16


class Kind(Enum):
    """A kind of work; each kind has its own bound on the jobs that run at once."""

    FORMAT = "format"
    CHECK = "check"


class Jobs:
    """The jobs under way: at most one for each volume, and a bounded number of each kind.

    A job whose disk hangs counts against that bound only until its turn ends (S26).

    The call that begins a job waits for it as long as the call lives. Later calls get an error
    until the job has ended; then they start from the disk again, like the first one:

        jobs.run("volume a", "mkfs", work, deadline)  # DeadlineExceeded; mkfs goes on
        jobs.check("volume a")                        # OperationPending: mkfs is under way
        ...                                           # mkfs ends
        jobs.check("volume a")                        # returns; the disk holds a file system
        jobs.drain(deadline)                          # the driver ends: no more jobs begin
        jobs.run("volume b", "mkfs", work, deadline)  # OperationPending
    """

    def __init__(self, *, max_formats: int, timing: HostTiming) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, _Job] = {}
        self._when_idle: Callable[[], None] | None = None  # set once the process ends
        self._turns = {
            Kind.FORMAT: _Turns(max_formats, lasts_seconds=timing.format_turn),
            Kind.CHECK: _Turns(_MOST_CHECKS, lasts_seconds=math.inf),
        }

    def check(self, volume: str) -> None:
        """Raise OperationPending unless no job is under way for the volume.

        Raises:
            OperationPending: The message names the job and says how long it has run.
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
        """Do the work in a separate thread, and return its result or raise its exception.

        Args:
            kind: The kind whose bound applies. If too many jobs of that kind run, the job waits for
                its turn, so the work must repeat every proof that was made before (D2).

        Raises:
            OperationPending: Another job is under way for the volume.
            DeadlineExceeded: The deadline came first. Work that has begun goes on.
            HostError: The host can start no more threads.
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

        context = contextvars.copy_context()  # the job's log lines name the call that began it
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
        """Refuse new jobs, and wait until those under way have ended or the deadline has come.

        A job's command outlives the driver's process, but not a container in which that process
        is number 1 (D10).
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
    """A bounded number of turns, handed out by order of arrival; each waits until its deadline.

    Args:
        lasts_seconds: How long a turn counts at most, even if its work has not ended.
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
        """Give a turn back, or stop waiting for it."""
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
        log.info("a job ended after its call had ended")
    else:
        log.warning("a job failed after its call had ended", extra={"error": str(error)})
