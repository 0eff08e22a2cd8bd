"""The work that no call asks for: deleting hourly what clones left behind (N6)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import DriverError

log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps in a thread of its own, for as long as the process runs."""

    def __init__(self, sweep: Callable[[Deadline], None], *, timing: Timing) -> None:
        self._sweep = sweep
        self._timing = timing
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin: the first sweep comes after a period, for others may have swept just now."""
        threading.Thread(target=self._run, name="sweeper", daemon=True).start()

    def stop(self) -> None:
        """End after the sweep under way."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._timing.sweep_interval):
            try:
                self._sweep(Deadline(self._timing.create_timeout))
            except DriverError as error:
                log.warning("not swept", extra={"error": str(error)})
            except Exception:  # the top of a thread that must not die: nobody else sweeps
                log.exception("unexpected error while sweeping")
