"""The occupancy of this instance: the volumes attached to it, and those in use (F7, S9)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.host.devices import Devices
from csi_exoblock.host.mounts import Mounts


class Occupancy:
    """Counts volumes in the kernel's tables, without asking any disk.

    Args:
        kubelet_path: Kubelet's folder, which contains all mounts of this driver.
    """

    def __init__(self, *, devices: Devices, mounts: Mounts, kubelet_path: Path) -> None:
        self._devices = devices
        self._mounts = mounts
        self._kubelet_path = kubelet_path

    def attached(self) -> int:
        """Return the number of disks that look like volumes, attached by this driver or not."""
        return len(self._devices.volumes())

    def serials(self) -> frozenset[str]:
        """Return the serials of all volumes."""
        return frozenset(serial for serial, _ in self._devices.volumes())

    def unused(self) -> frozenset[str]:
        """Return the serials of the volumes without a mount below kubelet's folder, by any driver.

        That includes the driver's own volumes that aren't staged yet, or published if they are raw:
        only Kubernetes knows whose they are.
        """
        used = {mount.device for mount in self._mounts.below(self._kubelet_path)}
        return frozenset(
            serial
            for serial, disk in self._devices.volumes()
            if used.isdisjoint(self._devices.numbers(disk))
        )
