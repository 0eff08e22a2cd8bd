"""How many volumes are attached to this instance, and how many of them are others' (F7, S9)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.host.devices import Devices
from csi_exoblock.host.mounts import Mounts


class Occupancy:
    """Counts what the kernel's tables show; no disk is asked.

    Args:
        kubelet_path: Below it lies all that this driver mounts.
    """

    def __init__(self, *, devices: Devices, mounts: Mounts, kubelet_path: Path) -> None:
        self._devices = devices
        self._mounts = mounts
        self._kubelet_path = kubelet_path

    def attached(self) -> int:
        """Return how many disks look like volumes, whoever attached them."""
        return len(self._devices.volumes())

    def serials(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the serials of these disks, and of those that kubelet's folder shows in use."""
        used = {mount.device for mount in self._mounts.below(self._kubelet_path)}
        disks = self._devices.volumes()
        in_use = (
            serial for serial, disk in disks if not used.isdisjoint(self._devices.numbers(disk))
        )
        return frozenset(serial for serial, _ in disks), frozenset(in_use)

    def unused(self) -> int:
        """Return how many of them nothing below kubelet's folder uses.

        A volume of ours that isn't staged yet, or as a raw device not published, counts as well:
        only Kubernetes could tell whose it is.
        """
        attached, in_use = self.serials()
        return len(attached - in_use)
