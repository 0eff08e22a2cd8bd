"""The work that no call asks for: deleting hourly what clones left behind (N6)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import DriverError

log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps once a period, which `Background` keeps; the first time after one."""

    def __init__(self, sweep: Callable[[Deadline], None], *, timing: Timing) -> None:
        self._sweep = sweep
        self._timing = timing

    def sweep(self) -> float:
        """Sweep once; return the seconds until the next time."""
        try:
            self._sweep(Deadline(self._timing.create_timeout))
        except DriverError as error:
            log.warning("not swept", extra={"error": str(error)})
        return self._timing.sweep_interval
