"""Threads: one that lives for its work, or one that goes on with the next short work."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from csi_exoblock.errors import HostError

_MOST_IDLE = 8

_Work = tuple[Callable[[], object], str]


def begin_thread(run: Callable[[], object], *, name: str) -> None:
    """Run a function in a new thread, which ends with the process at the latest.

    Raises:
        HostError: The host has no thread left for the process, so nothing was begun.
    """
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        raise HostError(
            f"no thread for {name}: {error}; raise the limit on processes (pids), or retry later"
        ) from error


def begin_work(run: Callable[[], object], *, name: str) -> None:
    """Run a function that is mostly short in an idle thread, or in a new one if none is idle.

    To begin a thread takes longer than most questions to a disk or to the kernel.

    Raises:
        HostError: The host has no thread left for the process, so nothing was begun.
    """
    _idle.begin(run, name)


class IdleThreads:
    """Threads that have ended their work and wait for more, each at a queue of its own."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget them all: a process that was forked has none of its parent's threads."""
        self._lock = threading.Lock()
        self._queues: list[SimpleQueue[_Work]] = []

    def begin(self, run: Callable[[], object], name: str) -> None:
        """Run a function in one of them, or in a new thread."""
        with self._lock:
            queue = self._queues.pop() if self._queues else None
        if queue is not None:
            queue.put((run, name))
        else:
            begin_thread(lambda: self._live((run, name)), name=name)

    def _live(self, work: _Work) -> None:
        queue: SimpleQueue[_Work] = SimpleQueue()
        while True:
            run, threading.current_thread().name = work
            contextvars.Context().run(run)  # which leaves nothing behind for the next work
            del run, work  # with all that they keep alive
            threading.current_thread().name = "idle"
            with self._lock:
                if len(self._queues) >= _MOST_IDLE:
                    return
                self._queues.append(queue)
            work = queue.get()


_idle = IdleThreads()
os.register_at_fork(after_in_child=_idle.forget)
