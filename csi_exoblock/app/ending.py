"""Wait for the signal that ends the process, and miss none."""

from __future__ import annotations

import os
import signal
from types import FrameType


class Ending:
    """SIGTERM and SIGINT, noted from the moment that this is made, in the main thread.

    Not by an event that a handler sets: Python runs handlers between two steps of the main thread,
    so a signal that comes just as that falls asleep would be seen when it wakes up: never.
    The kernel's side of the handler writes to a pipe at once.
    """

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _note)

    def wait(self) -> None:
        """Return once a signal has come."""
        os.read(self._reader, 1)


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the pipe has it."""
