"""What on this host is the driver's to mount, to unmount and to remove (F17, S28)."""

from __future__ import annotations

import os
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import InvalidRequest, Mismatch, WrongState
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.mounts import Mount, Mounts, real_path
from csi_exoblock.model import Filesystem, VolumeId

_OURS = frozenset(Filesystem)


class Territory:
    """Keeps calls to paths below kubelet's folder, and to mounts that show their volume."""

    def __init__(
        self, *, kubelet_path: Path, devices: Devices, mounts: Mounts, disk_calls: DiskCalls
    ) -> None:
        self._kubelet_path = kubelet_path
        self._devices = devices
        self._mounts = mounts
        self._disk_calls = disk_calls

    def check_path(self, path: Path) -> None:
        """Raise InvalidRequest unless a path lies below kubelet's folder."""
        top = Path(os.path.realpath(self._kubelet_path))
        if top not in real_path(path).parents:
            raise InvalidRequest(
                f"{path} is not below {self._kubelet_path} (--kubelet-path), and this driver "
                "touches nothing elsewhere"
            )

    def check_place(self, path: Path) -> None:
        """Raise WrongState if something could be mounted elsewhere than the path says.

        Only what isn't a mount is looked at, for that might hang.
        """
        if not self._mounts.at(path) and path.is_symlink():
            raise WrongState(
                f"{path} is a symbolic link, so the volume would be mounted where it points; "
                "remove the link"
            )

    def check_mounts(self, volume_id: VolumeId | None, path: Path, deadline: Deadline) -> None:
        """Raise WrongState if something is mounted at a path that this driver may not unmount.

        Args:
            volume_id: `None` for an id that doesn't parse, whose disk can't be known.
        """
        if found := self.foreign(volume_id, path, deadline):
            raise WrongState(f"{found}, and this driver leaves it there; unmount it by hand")

    def check_unoccupied(self, volume_id: VolumeId, path: Path, deadline: Deadline) -> None:
        """Raise Mismatch if a path can't show the volume, because something else is mounted there.

        What a disk left behind that is gone is no obstacle: it is unmounted first.
        """
        if found := self.foreign(volume_id, path, deadline):
            raise Mismatch(f"{found}; unmount it by hand")

    def foreign(self, volume_id: VolumeId | None, path: Path, deadline: Deadline) -> str | None:
        """Name a mount at a path that is neither the volume's nor that of a disk that is gone."""
        for layer in self._mounts.at(path):
            if self._is_foreign(volume_id, layer, deadline):
                return (
                    f"{f'volume {volume_id}' if volume_id else 'unknown volume'}: something else "
                    f"is mounted at {path}, {layer.filesystem} of device {layer.superblock}"
                )
        return None

    def _is_foreign(self, volume_id: VolumeId | None, mount: Mount, deadline: Deadline) -> bool:
        if mount.is_block:  # only this driver binds device nodes
            return False
        disk, _ = self._devices.search(volume_id.uuid) if volume_id else (None, ())
        if disk is not None and mount.device in self._devices.numbers(disk):
            return False
        if mount.filesystem not in _OURS or self._is_what_it_lies_on(mount):
            return True
        if volume_id is None or mount.device is None or not self._devices.is_there(mount.device):
            return False
        if disk is None:
            return self._devices.belongs_to_another(mount.device, volume_id.uuid)
        # A disk that nobody uses only has the number that the mount's own disk had.
        return self._disk_calls.is_in_use(self._devices.at(mount.device), deadline)

    def _is_what_it_lies_on(self, mount: Mount) -> bool:
        """Tell whether a mount only shows a folder of the file system that its folder is on."""
        around = self._mounts.around(mount.target.parent)
        return around is not None and around.superblock == mount.superblock
