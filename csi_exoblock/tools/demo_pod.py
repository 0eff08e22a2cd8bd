"""A pod of the demo: it gets the volume when it starts, and gives it back when it ends."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from csi_exoblock.tools.demo_orchestrator import Orchestrator, Volume

_DATA_BYTES = 32 * 1024**2


class Pod:
    """A user of a volume on this host.

    Args:
        folder: The folder in which node and pod mount the volume.
    """

    def __init__(self, orchestrator: Orchestrator, volume: Volume, folder: Path) -> None:
        self._orchestrator = orchestrator
        self._volume = volume
        self._staging = folder / "staging"
        self._target = folder / "target"
        self._file = self._target / "data"

    def __enter__(self) -> Self:
        self._staging.mkdir(parents=True)
        self._orchestrator.attach(self._volume)
        self._orchestrator.stage(self._volume, self._staging)
        self._orchestrator.publish(self._volume, self._staging, self._target)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:  # after an error the driver ends first, and `mounts_ended` unmounts
            self._orchestrator.unpublish(self._volume, self._target)
            self._orchestrator.unstage(self._volume, self._staging)
            self._orchestrator.detach(self._volume)

    def write(self) -> str:
        """Write random data through to the disk and return its SHA-256."""
        data = os.urandom(_DATA_BYTES)
        with self._file.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return hashlib.sha256(data).hexdigest()

    def size_mib(self) -> int:
        """Return the size of the data in MiB."""
        return self._file.stat().st_size // 1024**2

    def checksum(self) -> str:
        """Return the SHA-256 of the data."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest()

    def capacity(self) -> str:
        """Return a phrase with the size of the file system."""
        usage = os.statvfs(self._target)
        return f"file system of {usage.f_blocks * usage.f_frsize / 1024**3:.2f} GiB"
