"""S26: a reader of the log who stops reading stops nobody, and is told what it has missed."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from csi_exoblock.lines import LineWriter

pytestmark = pytest.mark.fast

LONG = "x" * 100_000
MANY = 40  # lines of that length, more than there is room for
PATIENCE_SECONDS = 30.0


class RealPipe:
    """A pipe of the kernel.

    Attributes:
        writer: Its end for the log.
    """

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.writer = os.fdopen(writer, "w", encoding="utf-8")

    def read(self) -> str:
        """Return what is in it now."""
        read = b""
        with suppress(BlockingIOError):
            while more := os.read(self._reader, 65536):
                read += more
        return read.decode()

    def stop_reading(self) -> None:
        """Close the reader's end."""
        os.close(self._reader)
        self._reader = -1

    def close(self) -> None:
        self.writer.close()
        if self._reader >= 0:
            self.stop_reading()


@pytest.fixture
def real_pipe() -> Iterator[RealPipe]:
    with closing(RealPipe()) as made:
        yield made


class Pipe(io.StringIO):
    """Takes lines only while somebody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()
        self.is_read.set()

    def write(self, text: str) -> int:
        self.is_read.wait()
        return super().write(text)


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def logger(lines: LineWriter) -> logging.Logger:
    made = logging.Logger("test")
    made.addHandler(lines)
    return made


def test_it_is_a_handler_for_every_python() -> None:
    """From 3.13 on, logging itself enters the lock of each handler."""
    stream = io.StringIO()
    writer = LineWriter(stream, patience_seconds=PATIENCE_SECONDS)

    assert writer.lock is not None
    with writer.lock:
        writer.handle(logging.makeLogRecord({"msg": "seen"}))  # waits, and needs no lock for it
    writer.addFilter(lambda record: record.msg != "left out")
    writer.handle(logging.makeLogRecord({"msg": "left out"}))
    writer.flush()

    assert stream.getvalue() == "seen\n"


def test_a_line_is_written_before_the_call_goes_on(pipe: Pipe) -> None:
    log = logger(LineWriter(pipe, patience_seconds=PATIENCE_SECONDS))

    log.info("first")
    seen = pipe.getvalue()
    log.info("second")

    assert (seen, pipe.getvalue()) == ("first\n", "first\nsecond\n")


def test_what_nobody_reads_is_kept_then_dropped_and_counted(pipe: Pipe) -> None:
    lines = LineWriter(pipe, patience_seconds=0.01)
    drops: list[None] = []
    lines.count_drops(lambda: drops.append(None))
    log = logger(lines)

    pipe.is_read.clear()
    for number in range(MANY):
        log.info("%d %s", number, LONG)
    lines.flush()  # which ends
    dropped = len(drops)
    pipe.is_read.set()
    assert 0 < dropped < MANY
    while "dropped" not in pipe.getvalue():
        lines.flush()
    log.info("the end")
    while "the end" not in pipe.getvalue():
        lines.flush()

    written = pipe.getvalue().splitlines()
    kept = MANY - dropped
    assert [int(line.split()[0]) for line in written[:kept]] == list(range(kept))
    assert written[kept:] == ["log lines dropped: nobody read them", "the end"]


def test_a_line_that_cannot_be_written_is_none(pipe: Pipe) -> None:
    log = logger(LineWriter(pipe, patience_seconds=PATIENCE_SECONDS))

    log.info("%d", "no number")

    assert "can't be formatted" in pipe.getvalue()


def test_a_reader_who_has_gone_ends_nothing(pipe: Pipe) -> None:
    lines = LineWriter(pipe, patience_seconds=1.0)
    log = logger(lines)

    pipe.close()
    for _ in range(3):
        log.info("to nobody")
    lines.flush()


def test_a_pipe_has_the_line_before_the_call_goes_on(real_pipe: RealPipe) -> None:
    log = logger(LineWriter(real_pipe.writer, patience_seconds=PATIENCE_SECONDS))

    for text in ("first", "zweitens: ü", LONG[:5000]):
        log.info(text)
        assert real_pipe.read() == f"{text}\n"


@pytest.mark.parametrize("length", [100, 3000, 5000])
def test_a_pipe_that_nobody_reads_stops_nobody_and_keeps_the_order(
    real_pipe: RealPipe, length: int
) -> None:
    lines = LineWriter(real_pipe.writer, patience_seconds=0.01)
    log = logger(lines)
    many = 200_000 // length  # three times what fits

    for number in range(many):
        log.info("%d %s", number, "x" * length)
    seen = ""
    while not seen.endswith("the end\n"):
        if seen.count("\n") == many:
            log.info("the end")
        seen += real_pipe.read()
        lines.flush()

    numbers = [line.split()[0] for line in seen.splitlines()]
    assert numbers == [*map(str, range(many)), "the"]


def test_a_pipe_without_a_reader_ends_nothing(real_pipe: RealPipe) -> None:
    log = logger(LineWriter(real_pipe.writer, patience_seconds=PATIENCE_SECONDS))
    real_pipe.stop_reading()

    for _ in range(3):
        log.info("to nobody")
