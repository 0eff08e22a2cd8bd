"""The liveness of mounted file systems: whether they still work (D7, N7)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.mounts import Mount
from csi_exoblock.host.workers import Workers

# Options by which ext4 shows that it has given up without turning to `ro`.
_SHUT_DOWN = "shutdown"
_NO_MORE_WRITES = "emergency_ro"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a file system can't be used.

    Attributes:
        reason: One CamelCase word, stable, for programs.
    """

    reason: str
    text: str

    def __str__(self) -> str:
        return self.text


class Liveness:
    """Tests file systems by reading them, because the kernel's tables can still say `rw`."""

    def __init__(self, *, workers: Workers[None], sysfs: Path = Path("/sys")) -> None:
        self._workers = workers
        self._sysfs = sysfs

    def why_unusable(self, mount: Mount, *, writing: bool) -> Trouble | None:
        """Return why a mounted file system can't be used, `None` if it works.

        Args:
            writing: Whether it must accept writes through this mount.

        Raises:
            HostError: It doesn't answer at all, or the host has no file or memory left.
        """
        if _SHUT_DOWN in mount.super_options:
            return _shut_down(f"the kernel has shut it down ({_SHUT_DOWN})")
        if _NO_MORE_WRITES in mount.super_options:
            return _read_only(f"the kernel has made it read-only ({_NO_MORE_WRITES})")
        if writing and "ro" in mount.super_options | mount.options:
            return _read_only("it is read-only")
        try:
            # By superblock: a file system that doesn't answer at one of its paths does at none.
            self._workers.run(
                f"the file system {mount.superblock}", lambda: _read_root(mount.target)
            )
        except OSError as error:
            refuse_exhausted(error)
            return _shut_down(f"its root can't be read: {error.strerror}")
        return None

    def recorded_errors(self, device: BlockDevice) -> int:
        """Return how many errors ext4 has counted since its last check; 0 for other types.

        Raises:
            HostError: The host has no file or memory left.
        """
        try:
            return int((self._sysfs / "fs" / "ext4" / device.name / "errors_count").read_text())
        except OSError as error:
            refuse_exhausted(error)
            return 0


def _read_root(root: Path) -> None:
    root.stat()
    with os.scandir(root) as entries:
        next(entries, None)


def _shut_down(text: str) -> Trouble:
    return Trouble(reason="FilesystemShutDown", text=text)


def _read_only(text: str) -> Trouble:
    return Trouble(reason="FilesystemReadOnly", text=text)
