"""The starts of processes: until its program runs, a new process shares all files of the driver.

So a file that one thread closes stays open for a moment if another thread starts a process: a disk
stays claimed, and a file system busy, although nobody uses it. With twenty volumes at once that was
one stage in ten.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_under_way: set[threading.Event] = set()


@contextmanager
def starting() -> Iterator[None]:
    """Start a process inside the block, which ends once its program runs."""
    end = threading.Event()
    with _lock:
        _under_way.add(end)
    try:
        yield
    finally:
        with _lock:
            _under_way.discard(end)
        end.set()


def close(file: int) -> None:
    """Close a file, and return once no process that was being started has it open any more."""
    os.close(file)
    with _lock:
        before = tuple(_under_way)  # a start that comes later doesn't get the file
    for start in before:
        start.wait()
