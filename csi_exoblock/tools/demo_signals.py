"""What ends the demo early, and how its end is not disturbed."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_came = threading.Event()


def interrupt_on_signals() -> None:
    """Have Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt, unless ignored so far."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def end_if_interrupted() -> None:
    """Raise again what came where Python lets nothing be raised, as between fork and exec."""
    if _came.is_set():
        raise KeyboardInterrupt


def ignore_signals() -> None:
    """Ignore them from now on: a second one must not leave half of what there is to clean up."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise once, for a second one may come before anything that cleans up has begun."""
    ignore_signals()
    _came.set()
    raise KeyboardInterrupt
