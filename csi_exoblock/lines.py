"""Write log lines so that a reader that stops reading blocks no call."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
import threading
from collections.abc import Callable
from typing import Self, TextIO

# The most characters that wait to be written: some thousand lines, a few MiB of memory.
_WAITING_CHARACTERS = 2 * 1024 * 1024


class LineWriter(logging.Handler):
    """Writes a line at once if that can't block, or else hands it to a thread; in their order.

    The log of a container is a pipe, which takes a line at once while it has room. Of anything else
    the caller waits until the thread has written its line, so that the log of a killed process is
    complete. But if the reader of a pipe stops, a write never returns. Then callers no longer wait,
    lines are kept as long as there is room, and further lines are dropped and counted.

        log.info("…")  # returns once the line is written
        log.info("…")  # nobody reads: returns after `patience_seconds`
        log.info("…")  # returns at once; some thousand lines are kept, further lines dropped
        ...            # somebody reads again: the kept lines, "log lines dropped", and as before

    Args:
        patience_seconds: How long a caller waits for its line before the reader counts as stuck.
    """

    def __init__(self, stream: TextIO, *, patience_seconds: float) -> None:
        super().__init__()
        self._stream = stream
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._waiting: list[_Line] = []
        self._characters = 0  # of the lines that wait, or are being written
        self._is_stuck = False
        self._dropped = 0
        self._count_drop: Callable[[], object] = int
        self._pipe = _Pipe.of(stream)
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def count_drops(self, count: Callable[[], object]) -> None:
        """Call a function for each line that is dropped from now on."""
        self._count_drop = count

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a line as every handler does, but without a lock around the wait for its end."""
        if passed := bool(self.filter(record)):
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or keep it for later, or drop it."""
        text = self._text(record)
        with self._changed:
            if not self._characters and self._pipe and self._pipe.write(text):
                return
            line = _Line(text)
            fits = self._characters + len(line.text) <= _WAITING_CHARACTERS
            if fits:
                self._put(line)
            else:
                self._dropped += 1
            waits = fits and not self._is_stuck
        if not fits:
            self._count_drop()
        elif waits and not line.written.wait(self._patience_seconds):
            self._is_stuck = True

    def flush(self) -> None:
        """Wait until all lines are written, but not for a stuck reader."""
        with self._changed:
            self._changed.wait_for(lambda: not self._characters, self._patience_seconds)

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record) + "\n"
        except Exception as error:  # a line that can't be formatted must not fail its call
            failure = logging.makeLogRecord({"levelno": logging.ERROR, "levelname": "ERROR"})
            failure.name, failure.msg = __name__, f"a line can't be formatted: {error!r}"
            return self.format(failure) + "\n"

    def _put(self, line: _Line) -> None:
        self._waiting.append(line)
        self._characters += len(line.text)
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                lines, self._waiting = self._waiting, []
            for line in lines:
                with contextlib.suppress(OSError, ValueError):  # the reader has gone
                    self._stream.write(line.text)
                    self._stream.flush()
                line.written.set()
            self._finish(lines)

    def _finish(self, lines: list[_Line]) -> None:
        with self._changed:
            self._characters -= sum(len(line.text) for line in lines)
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._put(_Line(self._text(_about_drops(dropped))))
            elif not self._waiting:
                self._is_stuck = False
            self._changed.notify_all()


class _Pipe:
    """A pipe to write to without blocking."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLOUT)

    @classmethod
    def of(cls, stream: TextIO) -> Self | None:
        """Return the pipe that a stream is, `None` if it is something else."""
        try:
            file = stream.fileno()
            return cls(file) if stat.S_ISFIFO(os.fstat(file).st_mode) else None
        except (OSError, ValueError):  # it has no file, or is closed
            return None

    def write(self, text: str) -> bool:
        """Write a text if the pipe has room for it now; return whether it did.

        A pipe that is ready takes up to PIPE_BUF bytes at once. Source: pipe(7), poll(2).
        """
        data = text.encode(errors="backslashreplace")
        if len(data) > select.PIPE_BUF or not self._poll.poll(0):
            return False
        with contextlib.suppress(OSError):  # the reader has gone
            os.write(self._file, data)
        return True


class _Line:
    def __init__(self, text: str) -> None:
        self.text = text
        self.written = threading.Event()


def _about_drops(count: int) -> logging.LogRecord:
    record = logging.makeLogRecord({"levelno": logging.WARNING, "levelname": "WARNING"})
    record.name, record.msg, record.lines = __name__, "log lines dropped: nobody read them", count
    return record
