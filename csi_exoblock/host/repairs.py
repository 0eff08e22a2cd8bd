"""Remember, past a crash, what is unmounted only to be mounted again (D7, S15)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.devices import DeviceNumber
from csi_exoblock.model import VolumeId


class Repairs:
    """A file per staged volume whose repair has begun and did not end.

    Kubelet believes that such a volume is staged, and doesn't stage it again. No file survives more
    than the driver's end: a reboot takes all mounts away, and kubelet stages anew.

    Args:
        folder: Where they lie; made when needed.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder

    def begin(self, volume_id: VolumeId, path: Path, device: DeviceNumber) -> None:
        """Remember that the device's file system is about to be unmounted from the path.

        Raises:
            HostError: It can't be written down, so the mount must stay.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file(volume_id).write_text(f"{device} {path}")
        except OSError as error:
            raise HostError(f"volume {volume_id}: its repair can't be noted: {error}") from error

    def unfinished(self, volume_id: VolumeId) -> tuple[DeviceNumber, Path] | None:
        """Return what is to be mounted again and where, `None` if no repair has begun."""
        try:
            number, _, path = self._file(volume_id).read_text().partition(" ")
        except FileNotFoundError:
            return None
        # A file that was only half written was so before anything was unmounted.
        return (DeviceNumber.parse(number), Path(path)) if path else None

    def end(self, volume_id: VolumeId) -> None:
        """Forget the repair: it has ended, or the volume is staged or unstaged anyhow."""
        file = self._file(volume_id)
        if file.exists():  # nothing is written, so waited for, where nothing is to be forgotten
            file.unlink(missing_ok=True)

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder / f"{volume_id.zone}.{volume_id.uuid}"
