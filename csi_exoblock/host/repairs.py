"""Notes of repairs under way, which survive a crash of the driver (D7, S15)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.notes import Notes
from csi_exoblock.model import VolumeId


class Repairs:
    """A note for each staged volume that the driver has unmounted in order to mount it again.

    Kubelet believes that such a volume is staged, and doesn't stage it again. So if the driver dies
    in between, the next publish has to finish the repair:

        repairs.begin(volume_id, path, device)  # before unmounting
        ...                                     # the driver dies after unmounting, and restarts
        repairs.unfinished(volume_id)           # the next publish finds device and path,
        ...                                     # mounts the device there
        repairs.end(volume_id)                  # and removes the note

    The notes needn't survive a reboot: it removes all mounts, and kubelet stages all volumes again.
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

    def unfinished(self, volume_id: VolumeId) -> tuple[DeviceNumber, Path] | None:
        """Return which device to mount again and where, `None` without an unfinished repair.

        Raises:
            HostError: The note can't be read.
        """
        noted = self._notes.read(volume_id)
        return (noted[0], Path(noted[1])) if noted else None

    def end(self, volume_id: VolumeId) -> None:
        """Remove the note: the repair has ended, or the volume is staged or unstaged instead."""
        self._notes.remove(volume_id)
