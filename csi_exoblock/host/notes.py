"""A small file for each volume, which the next process of the driver finds."""

from __future__ import annotations

import os
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.devices import DeviceNumber
from csi_exoblock.model import VolumeId


class Notes:
    """Notes of one kind. None has to survive more than the driver's end, so none is synced.

    Each begins with a device's number and a space: the disk that it is about.

    Args:
        folder: Where they lie; made when needed.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder

    def write(self, volume_id: VolumeId, device: DeviceNumber, text: str) -> None:
        """Note something about a volume's disk, instead of what is noted.

        Raises:
            OSError: It can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(volume_id).write_bytes(os.fsencode(f"{device} {text}"))

    def read(self, volume_id: VolumeId) -> tuple[DeviceNumber, str] | None:
        """Return what is noted, `None` for nothing and for what is no such note.

        One that was only half written was so before anything was done.

        Raises:
            HostError: It can't be read.
        """
        file = self._file(volume_id)
        try:
            number, _, text = os.fsdecode(file.read_bytes()).partition(" ")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(f"{file}: the note can't be read: {error.strerror}") from error
        try:
            return (DeviceNumber.parse(number), text) if text else None
        except ValueError:
            return None

    def remove(self, volume_id: VolumeId) -> None:
        """Forget what is noted, whatever it is."""
        file = self._file(volume_id)
        if file.exists():  # nothing is written, so waited for, where nothing is to be forgotten
            file.unlink(missing_ok=True)

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder / f"{volume_id.zone}.{volume_id.uuid}"
