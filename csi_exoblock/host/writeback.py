"""Write back what is cached of a file system, while an error can still be seen (D6)."""

from __future__ import annotations

import ctypes
import logging
import os
from pathlib import Path

from csi_exoblock.host.workers import Workers

log = logging.getLogger(__name__)

_LIBC = ctypes.CDLL(None, use_errno=True)


class WriteBack:
    """Calls syncfs, which can hang as long as its disk does."""

    def __init__(self, *, workers: Workers[None]) -> None:
        self._workers = workers

    def write(self, mounted: Path) -> None:
        """Write the file system that is mounted at a path to its disk.

        An error is logged and no more: the cached data is lost with its disk, and a volume that
        can't be written must still be able to leave.

        Raises:
            HostError: It takes too long; it goes on, and the next call finds out how it ended.
        """
        try:
            self._workers.run(f"writing back {mounted}", lambda: _syncfs(mounted))
        except OSError as error:
            log.error("cached data could not be written and is lost", extra={"error": str(error)})


def _syncfs(mounted: Path) -> None:
    file = os.open(mounted, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(file) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(mounted))
    finally:
        os.close(file)
