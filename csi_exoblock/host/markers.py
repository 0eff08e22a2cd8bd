"""Remember, past a crash, which disks the driver was formatting (D10)."""

from __future__ import annotations

import os
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.model import VolumeId


class Markers:
    """A file per volume while its mkfs runs; one that is left says that mkfs was interrupted.

    Args:
        folder: Where they lie, on a file system that survives the driver; made when needed.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder

    def is_set(self, volume_id: VolumeId) -> bool:
        """Tell whether a mkfs of ours began on this volume and did not end."""
        try:
            return self._file(volume_id).read_text() == str(volume_id)
        except FileNotFoundError:
            return False

    def set(self, volume_id: VolumeId) -> None:
        """Write the marker; when this returns it survives a power cut.

        Raises:
            HostError: It can't be written, so formatting must not begin.
        """
        file = self._file(volume_id)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write_text(str(volume_id))
            for path in (file, self._folder, self._folder.parent):
                _sync(path)
        except OSError as error:
            raise HostError(f"{file}: the marker can't be written: {error}") from error

    def clear(self, volume_id: VolumeId) -> None:
        """Remove the marker, if there is one."""
        self._file(volume_id).unlink(missing_ok=True)

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder / f"{volume_id.zone}.{volume_id.uuid}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
