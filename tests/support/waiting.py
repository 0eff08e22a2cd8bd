"""Wait for things that other processes or threads bring about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WAIT_SECONDS = 90
POLL_SECONDS = 0.05


def eventually(
    question: Callable[[], T], *, seconds: float, pause_seconds: float = POLL_SECONDS
) -> T:
    """Ask until the answer is true or the time is over; return the last answer."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(pause_seconds)
    return answer


def wait_until(
    question: Callable[[], T | None],
    promise: str = "the condition holds",
    *,
    seconds: float = WAIT_SECONDS,
    pause_seconds: float = POLL_SECONDS,
    explain: Callable[[], str] = str,
) -> T:
    """Return the first answer that is true.

    Args:
        promise: What is awaited.
        pause_seconds: Between two questions.
        explain: What the failure's message shall say beside that.

    Raises:
        AssertionError: There was no such answer in time.
    """
    answer = eventually(question, seconds=seconds, pause_seconds=pause_seconds)
    if answer:
        return answer
    raise AssertionError(f"not within {seconds:.0f} s: {promise}\n{explain()}")
