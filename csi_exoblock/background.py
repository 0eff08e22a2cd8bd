"""Background work that repeats for as long as the process lives (S27)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from csi_exoblock.threads import begin_thread

log = logging.getLogger(__name__)


class Background:
    """Run a task again and again in its own thread, until the task is done or stopped.

    An exception ends neither the thread nor the task: it is logged and counted, and the task runs
    again after a pause. So a passing fault, such as a full disk or a limit on processes, does not
    end the work for good. A task catches the errors that it expects, to choose message and pause.

        sweeper = Background(sweep, name="sweeper", restart_seconds=5.0, count_error=errors.inc)
        sweeper.start()  # sweep() returns 3600.0: it runs again in an hour
        ...              # sweep() raises OSError: logged, counted, it runs again in 5 seconds
        ...              # sweep() returns None: the work is done, the thread ends
        sweeper.stop()   # sweep() does not run again; a run under way ends by itself

    Args:
        task: Does one piece of the work; returns the seconds until the next piece, `None` when
            all is done.
        name: The task's name in the log and the thread's name.
        restart_seconds: The pause after an exception.
        count_error: Called once for each exception.
        first_seconds: The pause before the first run.
    """

    def __init__(
        self,
        task: Callable[[], float | None],
        *,
        name: str,
        restart_seconds: float,
        count_error: Callable[[], object],
        first_seconds: float = 0.0,
    ) -> None:
        self._task = task
        self._name = name
        self._restart_seconds = restart_seconds
        self._count_error = count_error
        self._first_seconds = first_seconds
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin the work.

        Raises:
            HostError: The host has no thread left for the process.
        """
        begin_thread(self._run, name=self._name)

    def stop(self) -> None:
        """Begin no further run; do not wait for the one under way."""
        self._stopped.set()

    def _run(self) -> None:
        pause: float | None = self._first_seconds
        while pause is not None and not self._stopped.wait(pause):
            pause = self._run_once()

    def _run_once(self) -> float | None:
        try:
            return self._task()
        except Exception:  # the top of a thread that must not die: nobody else does this work
            log.exception("background work failed and will restart", extra={"task": self._name})
            self._count_error()
            return self._restart_seconds
