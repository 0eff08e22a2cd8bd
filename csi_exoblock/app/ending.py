"""Wait for the signal, or the failure, that ends the process, and miss none."""

from __future__ import annotations

import os
import signal
from types import FrameType

_FAILED = b"\0"  # no signal has this number


class Ending:
    """SIGTERM and SIGINT, noted from the moment that this is made, in the main thread.

    Not by an event that a handler sets: Python runs handlers between two steps of the main thread,
    so a signal that comes just as that falls asleep would be seen when it wakes up: never.
    The kernel's side of the handler writes to a pipe at once.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _note)

    def fail(self) -> None:
        """End the process because it can't do its work any more."""
        os.write(self._writer, _FAILED)

    def wait(self) -> bool:
        """Wait for the end; return whether a signal asked for it, not a failure."""
        return os.read(self._reader, 1) != _FAILED


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the pipe has it."""
