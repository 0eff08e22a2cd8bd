"""Background work survives what it raises, and ends when it is done or stopped (S27)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from csi_exoblock.background import Background

pytestmark = pytest.mark.fast

LIMIT_SECONDS = 60.0


class Task:
    """Does what a test lists, run by run, and tells when all of it was done."""

    def __init__(self, *results: float | Exception | None) -> None:
        self.over = threading.Event()
        self.runs = 0
        self._results: Iterator[float | Exception | None] = iter(results)

    def __call__(self) -> float | None:
        self.runs += 1
        result = next(self._results, None)
        if isinstance(result, Exception):
            raise result
        if result is None:
            self.over.set()
        return result


def background(
    task: Task, count_error: Callable[[], object] = int, restart_seconds: float = 0.0
) -> Background:
    return Background(
        task, name="tidying", restart_seconds=restart_seconds, count_error=count_error
    )


def test_exception_is_logged_and_counted_and_the_work_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:  # S27
    task, errors = Task(0.0, OSError("no space"), RuntimeError("no thread"), 0.0, None), []

    background(task, lambda: errors.append("counted")).start()

    assert task.over.wait(LIMIT_SECONDS)
    assert task.runs == 5
    assert errors == ["counted"] * 2
    failures = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert [str(each.exc_info[1]) for each in failures if each.exc_info] == [
        "no space",
        "no thread",
    ]
    assert {each.__dict__["task"] for each in failures} == {"tidying"}


def test_pause_follows_an_exception() -> None:  # S27
    task = Task(OSError("no space"), None)

    loop = background(task, restart_seconds=LIMIT_SECONDS * 100)
    loop.start()

    assert not task.over.wait(0.05)  # it would be over at once without the pause
    loop.stop()


def test_stopped_work_does_not_run_again() -> None:
    loop = Background(lambda: 0.0, name="tidying", restart_seconds=0.0, count_error=int)
    loop.start()

    loop.stop()
    for thread in threading.enumerate():
        if thread.name == "tidying":
            thread.join(LIMIT_SECONDS)
            assert not thread.is_alive()


def test_first_run_can_wait() -> None:
    task = Task(None)
    loop = Background(
        task,
        name="later",
        restart_seconds=0.0,
        count_error=int,
        first_seconds=LIMIT_SECONDS * 100,
    )

    loop.start()

    assert not task.over.wait(0.05)
    loop.stop()
