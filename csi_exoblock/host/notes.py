"""Notes: a small file for each volume, left for the next process of the driver."""

from __future__ import annotations

import os
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.model import VolumeId


class Notes:
    """Notes of one kind. They only have to survive the driver, not the host, so they aren't synced.

    Each begins with the device number of the volume's disk and a space.

    Args:
        folder: Where the files lie; made when needed.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder

    def write(self, volume_id: VolumeId, device: DeviceNumber, text: str) -> None:
        """Write a note about a volume's disk, in place of an earlier one.

        Raises:
            OSError: It can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(volume_id).write_bytes(os.fsencode(f"{device} {text}"))

    def read(self, volume_id: VolumeId) -> tuple[DeviceNumber, str] | None:
        """Return the disk's number and the text of a note, `None` without a complete note.

        An incomplete note can be ignored: a note is written before the act that it announces.

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
        """Remove the note, if there is one."""
        file = self._file(volume_id)
        if file.exists():  # without a note there is nothing to write, and no wait for the disk
            file.unlink(missing_ok=True)

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder / f"{volume_id.zone}.{volume_id.uuid}"
