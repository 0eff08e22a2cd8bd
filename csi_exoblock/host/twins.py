"""Twins: a disk whose btrfs has the id of a mounted one, so that the kernel refuses it (D9)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.signatures import HEAD_BYTES
from csi_exoblock.host.superblocks import btrfs_id


class Twins:
    """Finds mounted disks by their btrfs' id, which a restored volume shares with its source."""

    def __init__(self, *, sysfs: Path = Path("/sys")) -> None:
        self._mounted = sysfs / "fs" / "btrfs"

    def mounted(self, device: BlockDevice) -> str | None:
        """Return the name of another mounted disk with the id of this device's btrfs, if any.

        Raises:
            HostError: The device can't be read.
        """
        try:
            with device.path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            raise HostError(f"device {device.path} can't be read: {error.strerror}") from error
        devices = self._mounted / str(btrfs_id(head)) / "devices"
        names = {each.name for each in devices.iterdir()} if devices.is_dir() else set()
        return min(names - {device.name}, default=None)
