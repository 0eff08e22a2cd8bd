"""A pod of the demo: the volume comes to it when it starts, and leaves when it ends."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from csi_exoblock.tools.demo_orchestrator import Orchestrator, Volume

_DATA_BYTES = 32 * 1024**2


class Pod:
    """Something on this host that uses a volume.

    Args:
        folder: Where the volume is mounted, for the node and for the pod.
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
        if error is None:  # otherwise the driver is ended first, then all mounts are
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
        """Return how much data there is."""
        return self._file.stat().st_size // 1024**2

    def checksum(self) -> str:
        """Return the SHA-256 of the data."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest()

    def capacity(self) -> str:
        """Say how large the file system is."""
        usage = os.statvfs(self._target)
        return f"file system of {usage.f_blocks * usage.f_frsize / 1024**3:.2f} GiB"
