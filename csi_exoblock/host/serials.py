"""Ask disks for their serials, each disk once: it is a request to the disk and may hang (S26)."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import NamedTuple

from csi_exoblock.concurrency import Deadline, begin_thread
from csi_exoblock.config import Timing
from csi_exoblock.errors import DeadlineExceeded, HostError
from csi_exoblock.host.workers import Room

# No attribute of sysfs is longer. Source: Linux, Documentation/filesystems/sysfs.rst.
_ATTRIBUTE_BYTES = 4096
# Disks that hang at once, each with a thread of its own: more than an instance has slots for.
_MOST_ASKED = 32
# An answer is quick if it takes this part of `Timing.serial_timeout` at most.
_QUICK = 0.05


class Serials:
    """What each disk of this host says its serial is.

    A serial that was read counts for as long as the disk is there, so a disk that hangs later is
    still known, and nobody who looks for another disk waits for it. One that hangs from the start
    holds up those who ask once, and for a moment; so does one that fails, however often.

        serials.of("vdb")  # asks the disk and remembers its answer
        ...                # vdb stops answering
        serials.of("vdb")  # returns what it said before
        ...                # vdc is plugged in and never answers
        serials.of("vdc")  # HostError after `Timing.serial_timeout`
        serials.of("vdc")  # HostError at once, until it answers

    Args:
        blocks: The kernel's folder of block devices.
    """

    def __init__(self, *, blocks: Path, timing: Timing) -> None:
        self._blocks = blocks
        self._timing = timing
        self._room = Room()  # for those who wait; each disk has a thread of its own
        self._lock = threading.Lock()
        self._questions: dict[str, _Question] = {}
        self._under_way = 0

    def names(self) -> list[str]:
        """Return the disks that have a serial, or at least the attribute."""
        return [name for name in os.listdir(self._blocks) if self.has_one(name)]

    def has_one(self, name: str) -> bool:
        """Return whether a disk has the attribute; loop devices and partitions don't."""
        return os.path.exists(f"{self._blocks}/{name}/serial")

    def of(self, name: str) -> str | None:
        """Return a disk's serial, empty if it doesn't tell, `None` if it has no such attribute.

        Raises:
            HostError: It doesn't answer, or not with a serial.
        """
        if (question := self._ask(name)) is None:
            return None
        if question.answer.done():
            return question.answer.result()
        try:
            with self._room.waiting(f"disk {name}"):
                return question.patience.result(question.answer)
        except DeadlineExceeded as error:
            raise HostError(f"disk {name} doesn't answer; it may be hung") from error

    def of_all(self) -> dict[str, str | None]:
        """Return the serial of each disk that has one, `None` for one that doesn't answer."""
        names = self.names()
        for name in names:  # all are asked before any is waited for
            self.so_far(name)
        return {name: self._or_none(name) for name in names}

    def so_far(self, name: str) -> str | None:
        """Return what `of` would, but `None` where it is not known yet; a question is begun."""
        try:
            question = self._ask(name)
        except HostError:
            return None
        if question is None or not question.answer.done() or question.answer.exception():
            return None
        return question.answer.result()

    def _or_none(self, name: str) -> str | None:
        try:
            return self.of(name)
        except HostError:
            return None

    def _ask(self, name: str) -> _Question | None:
        """Return the question to a disk that is under way or answered, or begin one."""
        folder = self._blocks / name
        try:
            disk = _Disk(
                folder.stat().st_ino, _text(f"{folder}/dev"), _optional(f"{folder}/diskseq")
            )
        except OSError:  # it has left
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
        begin_thread(partial(self._read, name, question), name=f"serial of {name}")
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
                failure = HostError(f"disk {name} doesn't tell its serial: {error.strerror}")
                answer.set_exception(failure)
            else:
                answer.set_result(None)
        with self._lock:
            self._under_way -= 1


class _Disk(NamedTuple):
    """What differs between a disk and all that ever had its name."""

    folder: int
    number: str
    sequence: str | None  # where the kernel counts


class _Question:
    """A question to a disk for its serial.

    Args:
        patience_seconds: How long those who ask wait for it, all together.
    """

    def __init__(self, disk: _Disk, patience_seconds: float) -> None:
        self.disk = disk
        self.patience = Deadline(patience_seconds)
        self.answer: Future[str | None] = Future()
        self._seconds = patience_seconds
        self._began = time.monotonic()
        self._took = 0.0

    def end(self) -> None:
        """Note how long the disk took."""
        self._took = time.monotonic() - self._began

    def seconds_for_next(self, most_seconds: float) -> float:
        """Return how long the next question is waited for.

        A disk that fails slowly gets `most_seconds` in all, and not for each call. One without a
        serial, which is asked as often and answers at once, keeps its time; a slow one wins a
        little of it back with each quick answer.
        """
        if self._took <= (quick := _QUICK * most_seconds):
            return min(most_seconds, self._seconds + quick)
        return max(0.0, self._seconds - self._took)

    def is_to_be_repeated(self) -> bool:
        """Return whether it has ended without a serial: an error reads as an empty one."""
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
    except OSError:
        return None
