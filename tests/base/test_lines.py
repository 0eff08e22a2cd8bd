"""S26: a reader of the log who stops reading stops nobody, and is told what it has missed."""

from __future__ import annotations

import io
import logging
import threading

import pytest

from csi_exoblock.lines import LineWriter

pytestmark = pytest.mark.fast

LONG = "x" * 100_000
MANY = 40  # lines of that length, more than there is room for
PATIENCE_SECONDS = 30.0


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
