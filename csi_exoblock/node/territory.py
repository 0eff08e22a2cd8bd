"""The territory of the driver: the paths and mounts on this host that it may touch (F17, S28)."""

from __future__ import annotations

import os
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, InvalidRequest, Mismatch, WrongState
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.mounts import Mount, Mounts, real_path
from csi_exoblock.model import Filesystem, VolumeId

_OURS = frozenset(Filesystem)


class Territory:
    """Limits calls to paths below kubelet's folder, and to mounts that show their volume."""

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
        """Raise WrongState if a path is a symbolic link, so that a mount would appear elsewhere.

        If the path is a mount, it is not read, because that could hang.

        Raises:
            HostError: The path can't be looked at.
        """
        if self._mounts.at(path):
            return
        try:
            is_link = path.is_symlink()
        except OSError as error:
            raise HostError(f"{path} can't be read: {error.strerror}") from error
        if is_link:
            raise WrongState(
                f"{path} is a symbolic link, so the volume would be mounted where it points; "
                "remove the link"
            )

    def check_mounts(self, volume_id: VolumeId | None, path: Path, deadline: Deadline) -> None:
        """Raise WrongState if a mount at a path is one that this driver may not unmount.

        Args:
            volume_id: `None` for an id that doesn't parse, whose disk can't be known.
        """
        if found := self.foreign(volume_id, path, deadline):
            raise WrongState(f"{found}, and this driver leaves it there; unmount it by hand")

    def check_unoccupied(self, volume_id: VolumeId, path: Path, deadline: Deadline) -> None:
        """Raise Mismatch if something else than the volume is mounted at a path.

        A mount of a disk that is gone is no obstacle: it is unmounted first.
        """
        if found := self.foreign(volume_id, path, deadline):
            raise Mismatch(f"{found}; unmount it by hand")

    def foreign(self, volume_id: VolumeId | None, path: Path, deadline: Deadline) -> str | None:
        """Return a text about a foreign mount at a path, `None` if there is none.

        Foreign is a mount that is neither the volume's nor that of a disk that is gone.
        """
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
        # A disk without users has only inherited the number of the mount's own disk.
        return self._disk_calls.is_in_use(self._devices.at(mount.device), deadline)

    def _is_what_it_lies_on(self, mount: Mount) -> bool:
        """Return whether a mount is a bind of the same file system that contains its target."""
        around = self._mounts.around(mount.target.parent)
        return around is not None and around.superblock == mount.superblock
