"""A host that has no thread left for the driver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from csi_exoblock import threads


@contextmanager
def without_threads() -> Iterator[threading.Semaphore]:
    """Let no thread begin in this process during the block; yield what counts the attempts."""
    attempts = threading.Semaphore(0)

    def refuse(_: threading.Thread) -> None:
        attempts.release()
        raise RuntimeError("can't start new thread")

    with (
        mock.patch.object(threading.Thread, "start", refuse),
        mock.patch.object(threads, "_idle", threads.IdleThreads()),
    ):
        yield attempts
