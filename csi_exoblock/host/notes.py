"""Notes for the next process of the driver: a small file for each volume (D7, S15)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.model import VolumeId

log = logging.getLogger(__name__)


class Notes:
    """Notes of one kind. They only have to survive the driver, not the host, so they aren't synced.

    Each begins with the device number of the volume's disk and a space.

    Args:
        folder: Where the files lie; made when needed.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder
        self._void: set[VolumeId] = set()  # those of notes that can't be removed

    def write(self, volume_id: VolumeId, device: DeviceNumber, text: str) -> None:
        """Write a note about a volume's disk, in place of an earlier one.

        Raises:
            OSError: It can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(volume_id).write_bytes(os.fsencode(f"{device} {text}"))
        self._void.discard(volume_id)

    def read(self, volume_id: VolumeId) -> tuple[DeviceNumber, str] | None:
        """Return the disk's number and the text of a note, `None` without a complete note.

        An incomplete note can be ignored: a note is written before the act that it announces.

        Raises:
            HostError: It can't be read.
        """
        if volume_id in self._void:
            return None
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
        """Remove the note, if there is one.

        If that isn't possible, this process ignores the note: a volume must be able to leave a node
        whose own disk can't be written.
        """
        file = self._file(volume_id)
        try:
            if file.exists():  # without a note there is nothing to write, and no wait for the disk
                file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a note can't be removed", extra={"error": str(error)})
            self._void.add(volume_id)
        else:
            self._void.discard(volume_id)

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder / f"{volume_id.zone}.{volume_id.uuid}"


class Repairs:
    """A note for each staged volume that the driver has unmounted in order to mount it again.

    Kubelet believes that such a volume is staged, and doesn't stage it again. So if the driver dies
    in between, the next publish has to finish the repair:

        repairs.begin(volume_id, path, device)  # before unmounting
        ...                                     # the driver dies after unmounting, and restarts
        repairs.unfinished(volume_id)           # the next publish finds the path,
        ...                                     # mounts the volume's disk there
        repairs.end(volume_id)                  # and removes the note

    The notes needn't survive a reboot: it removes all mounts, and kubelet stages all volumes again.
    The device's number in a note decides nothing, because the disk can leave and come back under
    another one; it is written for earlier versions, which read no note without it.
    """

    def __init__(self, *, notes: Notes) -> None:
        self._notes = notes

    def begin(self, volume_id: VolumeId, path: Path, device: DeviceNumber) -> None:
        """Note that the device's file system is about to be unmounted from the path.

        Raises:
            HostError: The note can't be written, so the mount must stay.
        """
        try:
            self._notes.write(volume_id, device, str(path))
        except OSError as error:
            raise HostError(f"volume {volume_id}: its repair can't be noted: {error}") from error

    def unfinished(self, volume_id: VolumeId) -> Path | None:
        """Return where to mount the volume again, `None` without an unfinished repair.

        Raises:
            HostError: The note can't be read.
        """
        noted = self._notes.read(volume_id)
        return Path(noted[1]) if noted else None

    def end(self, volume_id: VolumeId) -> None:
        """Remove the note: the repair has ended, or the volume is staged or unstaged instead."""
        self._notes.remove(volume_id)
