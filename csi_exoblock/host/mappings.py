"""The files that processes have mapped, read in threads that may get stuck (D4, S26)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from csi_exoblock.errors import HostError, NoAnswer
from csi_exoblock.host.open_files import Numbers, mapped, name_of
from csi_exoblock.threads import begin_work

_MOST_STUCK = 16


class Mappings:
    """Reads what processes have mapped, one after the other, in a thread.

    A process that hangs on its disk keeps its memory locked, and a reader of its mappings hangs
    with it. The thread is left to that process, and another one goes on with the next:

        mappings.of([a, b, c])  # b hangs: after `patience_seconds` a second thread reads c
        mappings.of([a, b, c])  # the first thread is still stuck, so b isn't asked again
        ...                     # b's disk answers, and the thread ends
        mappings.of([a, b, c])  # one thread reads all three

    Args:
        patience_seconds: How long a process can take before it counts as hung.
        later_seconds: The same once one has hung: where one hangs many can, and together they get
            not much more time than the first.
    """

    def __init__(self, *, patience_seconds: float, later_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._later_seconds = later_seconds
        self._lock = threading.Lock()
        self._stuck: dict[Path, _Reader] = {}

    def of(
        self, processes: Sequence[Path]
    ) -> tuple[dict[Path, frozenset[Numbers]], NoAnswer | None]:
        """Return the numbers of all files that each process has mapped, and why any is missing.

        Raises:
            HostError: The host has no thread, file or memory left.
        """
        found: dict[Path, frozenset[Numbers]] = {}
        left = deque(each for each in processes if each not in self._stuck)
        patience = self._patience_seconds
        while left and len(self._stuck) < _MOST_STUCK:
            reader = _Reader(left, found)
            begin_work(partial(self._read, reader), name="mappings of processes")
            if not self._await(reader, patience):
                patience = self._later_seconds
            elif reader.failure is not None:
                raise reader.failure
        missing = next((each for each in processes if each not in found), None)
        return found, _no_answer(missing) if missing else None

    def _await(self, reader: _Reader, patience_seconds: float) -> bool:
        """Return whether the reader read all that was left; if not, it is stuck."""
        while not reader.has_ended.wait(reader.remaining(patience_seconds)):
            with self._lock:
                if (process := reader.leave(patience_seconds)) is not None:
                    self._stuck[process] = reader
                    return False
        return True

    def _read(self, reader: _Reader) -> None:
        try:
            reader.run()
        finally:
            with self._lock:
                self._stuck = {at: each for at, each in self._stuck.items() if each is not reader}


class _Reader:
    """Reads one process after the other, until none is left or it is left to the present one.

    Attributes:
        failure: Why it could read no further, if the host itself is the reason.
    """

    def __init__(self, left: deque[Path], found: dict[Path, frozenset[Numbers]]) -> None:
        self.failure: HostError | None = None
        self.has_ended = threading.Event()
        self._left = left
        self._found = found
        self._known: dict[bytes, Numbers] = {}
        self._lock = threading.Lock()
        self._present: Path | None = None
        self._since = time.monotonic()
        self._is_left = False

    def run(self) -> None:
        try:
            while (process := self._next()) is not None:
                self._keep(process, mapped(process, self._known))
        except HostError as error:
            self.failure = error
        finally:
            self.has_ended.set()

    def remaining(self, patience_seconds: float) -> float:
        """Return the seconds that the present process still has."""
        return max(0.0, self._since + patience_seconds - time.monotonic())

    def leave(self, patience_seconds: float) -> Path | None:
        """Leave the reader to the process that it is stuck with; `None` if it isn't stuck."""
        with self._lock:
            if self.remaining(patience_seconds) or self.has_ended.is_set():
                return None
            self._is_left = True
            return self._present

    def _next(self) -> Path | None:
        with self._lock:
            self._present = self._left.popleft() if self._left and not self._is_left else None
            self._since = time.monotonic()
            return self._present

    def _keep(self, process: Path, numbers: frozenset[Numbers]) -> None:
        with self._lock:
            if not self._is_left:
                self._found[process] = numbers


def _no_answer(process: Path) -> NoAnswer:
    return NoAnswer(
        f"the memory of {name_of(process)} doesn't answer; it hangs, perhaps on its disk, so what "
        "it uses can't be seen"
    )
