"""The signals that end the demo early. They interrupt it once, and never its clean-up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_came = threading.Event()
_put_off = threading.Event()


def interrupt_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt, except ignored signals."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def end_if_interrupted() -> None:
    """Raise KeyboardInterrupt again if a signal came, as Python loses one between fork and exec."""
    if _came.is_set():
        raise KeyboardInterrupt


@contextmanager
def interrupted_only_after() -> Iterator[None]:
    """Put an interruption off to the end of the block: a process begun there would be lost."""
    _put_off.set()
    try:
        yield
    finally:
        _put_off.clear()
    end_if_interrupted()


def ignore_signals() -> None:
    """Ignore the signals from now on, so that a second one does not interrupt the clean-up."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise once only: a second signal might come before the clean-up has begun."""
    ignore_signals()
    _came.set()
    if not _put_off.is_set():
        raise KeyboardInterrupt
