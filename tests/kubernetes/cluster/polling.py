"""Wait for things that other processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1


def eventually(question: Callable[[], T], *, seconds: float) -> T:
    """Ask until the answer is true or the time is over; return the last answer."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return answer
