"""The serials of disks, each read once, because reading one is a request that can hang (S26)."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import NamedTuple

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, HostError
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.workers import CallLimit
from csi_exoblock.threads import begin_work
from csi_exoblock.timing import HostTiming

# No attribute of sysfs is longer. Source: Linux, Documentation/filesystems/sysfs.rst.
_ATTRIBUTE_BYTES = 4096
# Disks that are asked at once, each in a separate thread: more than an instance has slots for.
_MOST_ASKED = 32
# An answer is quick if it takes this part of `Timing.serial_timeout` at most.
_QUICK = 0.05


class Serials:
    """The serials that the disks of this host report.

    A serial that was read counts until the disk leaves. So a disk that hangs later is still known,
    and a search for another disk doesn't wait for it. A disk that hangs from the start delays
    callers once, for `Timing.serial_timeout` in all. So does a disk that fails slowly, however
    often.

        serials.of("vdb")  # asks the disk and remembers its answer
        ...                # vdb stops answering
        serials.of("vdb")  # returns the remembered serial
        ...                # vdc is plugged in and never answers
        serials.of("vdc")  # HostError after `Timing.serial_timeout`
        serials.of("vdc")  # HostError at once, until it answers

    Args:
        blocks: The kernel's folder of block devices.
    """

    def __init__(self, *, blocks: Path, timing: HostTiming) -> None:
        self._blocks = blocks
        self._timing = timing
        self._limit = CallLimit()  # for waiting callers; each disk has a separate thread
        self._lock = threading.Lock()
        self._questions: dict[str, _Question] = {}
        self._under_way = 0

    def names(self) -> list[str]:
        """Return the names of the disks that have the attribute of a serial."""
        return [name for name in os.listdir(self._blocks) if self.has_one(name)]

    def has_one(self, name: str) -> bool:
        """Return whether a disk has the attribute; loop devices and partitions don't."""
        return os.path.exists(f"{self._blocks}/{name}/serial")

    def of(self, name: str) -> str | None:
        """Return a disk's serial, empty if it reports none, `None` if it has no such attribute.

        Raises:
            HostError: The disk doesn't answer, or answers with an error.
        """
        question = self._ask(name)
        return None if question is None else self._answer(name, question)

    def of_all(self) -> dict[str, str | None]:
        """Return the serial of each disk in `names`, `None` if the disk doesn't answer."""
        # All are asked before any is waited for.
        questions = {name: self._ask_if_possible(name) for name in self.names()}
        return {
            name: None if question is None else self._answer_or_none(name, question)
            for name, question in questions.items()
        }

    def so_far(self, name: str) -> str | None:
        """Return the serial if it is known already, else `None`; ask the disk without waiting."""
        question = self._ask_if_possible(name)
        if question is None or not question.answer.done() or question.answer.exception():
            return None
        return question.answer.result()

    def _answer(self, name: str, question: _Question) -> str | None:
        if question.answer.done():
            return question.answer.result()
        try:
            with self._limit.waiting(f"disk {name}"):
                return question.patience.result(question.answer)
        except DeadlineExceeded as error:
            raise HostError(f"disk {name} doesn't answer; it might be hung") from error

    def _answer_or_none(self, name: str, question: _Question) -> str | None:
        try:
            return self._answer(name, question)
        except HostError:
            return None

    def _ask_if_possible(self, name: str) -> _Question | None:
        try:
            return self._ask(name)
        except HostError:
            return None

    def _ask(self, name: str) -> _Question | None:
        """Return the latest question to a disk, or a new one if due; `None` if it has no serial."""
        folder = f"{self._blocks}/{name}"
        try:
            disk = _Disk(
                os.stat(folder).st_ino, _text(f"{folder}/dev"), _optional(f"{folder}/diskseq")
            )
        except OSError as error:  # it has left
            refuse_exhausted(error)
            return None
        if not self.has_one(name):
            return None
        with self._lock:
            question = self._questions.get(name)
            if question is None or question.disk != disk:
                return self._begin(name, disk, self._timing.serial_timeout)
            if question.is_to_be_repeated():
                seconds = question.seconds_for_next(self._timing.serial_timeout)
                return self._begin(name, disk, seconds)
            return question

    def _begin(self, name: str, disk: _Disk, patience_seconds: float) -> _Question:
        if self._under_way >= _MOST_ASKED:
            raise HostError(f"disk {name} isn't asked: too many others don't answer")
        question = _Question(disk, patience_seconds)
        begin_work(partial(self._read, name, question), name=f"serial of {name}")
        self._under_way += 1
        self._questions[name] = question
        return question

    def _read(self, name: str, question: _Question) -> None:
        path, answer = f"{self._blocks}/{name}/serial", question.answer
        answer.add_done_callback(lambda _: question.end())
        try:
            answer.set_result(_text(path))
        except OSError as error:
            if os.path.exists(path):
                failure = HostError(f"disk {name} doesn't report its serial: {error.strerror}")
                answer.set_exception(failure)
            else:
                answer.set_result(None)
        with self._lock:
            self._under_way -= 1


class _Disk(NamedTuple):
    """The identity of a disk, which differs between all disks that ever had its name."""

    folder: int
    number: str
    sequence: str | None  # `None` on a kernel that doesn't count disks


class _Question:
    """A question to a disk for its serial.

    Args:
        patience_seconds: How long all callers together wait for the answer.
    """

    def __init__(self, disk: _Disk, patience_seconds: float) -> None:
        self.disk = disk
        self.patience = Deadline(patience_seconds)
        self.answer: Future[str | None] = Future()
        self._seconds = patience_seconds
        self._began = time.monotonic()
        self._took = 0.0

    def end(self) -> None:
        """Record how long the disk took."""
        self._took = time.monotonic() - self._began

    def seconds_for_next(self, most_seconds: float) -> float:
        """Return how many seconds callers wait for the next question to this disk.

        A disk that fails slowly gets `most_seconds` in all, not for each call. A disk that has no
        serial is asked as often, but answers at once and so keeps its time. A slow disk regains a
        little time with each quick answer.
        """
        if self._took <= (quick := _QUICK * most_seconds):
            return min(most_seconds, self._seconds + quick)
        return max(0.0, self._seconds - self._took)

    def is_to_be_repeated(self) -> bool:
        """Return whether it ended without a serial; an empty one can be an error of the disk."""
        return self.answer.done() and (
            self.answer.exception() is not None or not self.answer.result()
        )


def _text(path: str) -> str:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, _ATTRIBUTE_BYTES).decode(errors="replace").strip()
    finally:
        os.close(file)


def _optional(path: str) -> str | None:
    try:
        return _text(path)
    except OSError as error:
        refuse_exhausted(error)
        return None
