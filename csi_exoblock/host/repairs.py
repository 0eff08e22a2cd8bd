"""Remember, past a crash, what is unmounted only to be mounted again (D7, S15)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.devices import DeviceNumber
from csi_exoblock.host.notes import Notes
from csi_exoblock.model import VolumeId


class Repairs:
    """A file per staged volume whose repair has begun and did not end.

    Kubelet believes that such a volume is staged, and doesn't stage it again. No file survives more
    than the driver's end: a reboot takes all mounts away, and kubelet stages anew.

    Args:
        notes: Where that is written down.
    """

    def __init__(self, *, notes: Notes) -> None:
        self._notes = notes

    def begin(self, volume_id: VolumeId, path: Path, device: DeviceNumber) -> None:
        """Remember that the device's file system is about to be unmounted from the path.

        Raises:
            HostError: It can't be written down, so the mount must stay.
        """
        try:
            self._notes.write(volume_id, device, str(path))
        except OSError as error:
            raise HostError(f"volume {volume_id}: its repair can't be noted: {error}") from error

    def unfinished(self, volume_id: VolumeId) -> tuple[DeviceNumber, Path] | None:
        """Return what is to be mounted again and where, `None` if no repair has begun.

        Raises:
            HostError: The note can't be read.
        """
        noted = self._notes.read(volume_id)
        return (noted[0], Path(noted[1])) if noted else None

    def end(self, volume_id: VolumeId) -> None:
        """Forget the repair: it has ended, or the volume is staged or unstaged anyhow."""
        self._notes.remove(volume_id)
