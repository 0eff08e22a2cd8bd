"""Wait for the signal or the failure that ends the process."""

from __future__ import annotations

import os
import signal
from types import FrameType

_FAILED = b"\0"  # no signal has this number


class Ending:
    """Notes SIGTERM and SIGINT from its creation on; to be created in the main thread.

    A handler that sets an event would not do. Python runs handlers between two instructions of the
    main thread, so a signal that comes just before the thread falls asleep would never be seen.
    Here Python's C-level handler writes to a pipe at once.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _note)

    def fail(self) -> None:
        """Let `wait` return, because the process can't do its work any more."""
        os.write(self._writer, _FAILED)

    def wait(self) -> bool:
        """Wait for a signal or a failure; return whether it was a signal."""
        return os.read(self._reader, 1) != _FAILED


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal is in the pipe."""
