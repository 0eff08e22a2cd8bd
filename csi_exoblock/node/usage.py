"""NodeGetVolumeStats: how full a volume is; it neither hangs nor lies (S16)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, NotFound
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.mounts import Mounts
from csi_exoblock.host.sizes import device_size_bytes
from csi_exoblock.host.workers import Workers
from csi_exoblock.model import VolumeId


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """How much of one thing there is, in its unit.

    Attributes:
        used: `None` where only the total is known: what a pod does with a raw device is its affair.
        available: What a pod may still use; less than the rest where some is reserved for root.
    """

    unit: Literal["bytes", "inodes"]
    total: int
    used: int | None = None
    available: int | None = None


class Usage:
    """Measures volumes, without taking their lock."""

    def __init__(
        self, *, devices: Devices, mounts: Mounts, workers: Workers[tuple[UsageRow, ...]]
    ) -> None:
        self._devices = devices
        self._mounts = mounts
        self._workers = workers

    def statistics(
        self, volume_id: VolumeId, volume_path: Path, deadline: Deadline
    ) -> tuple[UsageRow, ...]:
        """Return bytes and inodes of a mounted file system, or the size of a raw device.

        Raises:
            NotFound: The path doesn't show this volume.
            HostError: The disk is gone, or the file system doesn't answer.
            DeadlineExceeded: The deadline came first.
        """
        deadline.check()
        layers = self._mounts.at(volume_path)
        if not layers:
            raise NotFound(f"volume {volume_id}: nothing is mounted at {volume_path}")
        mount = layers[-1]
        if mount.device is None or not self._devices.is_volume(mount.device, volume_id.uuid):
            self._devices.present(volume_id.uuid)
            raise NotFound(f"volume {volume_id}: {volume_path} shows device {mount.device}")
        measure = _device_usage if mount.is_block else _file_system_usage
        try:
            return self._workers.run(f"volume {volume_id}", lambda: measure(volume_path))
        except OSError as error:
            raise HostError(f"volume {volume_id}: {volume_path}: {error.strerror}") from error


def _device_usage(path: Path) -> tuple[UsageRow, ...]:
    return (UsageRow(unit="bytes", total=device_size_bytes(path)),)


def _file_system_usage(path: Path) -> tuple[UsageRow, ...]:
    found = os.statvfs(path)
    rows = [
        UsageRow(
            unit="bytes",
            total=found.f_blocks * found.f_frsize,
            used=(found.f_blocks - found.f_bfree) * found.f_frsize,
            available=found.f_bavail * found.f_frsize,
        )
    ]
    if found.f_files:  # btrfs doesn't count them
        rows.append(
            UsageRow(
                unit="inodes",
                total=found.f_files,
                used=found.f_files - found.f_ffree,
                available=found.f_favail,
            )
        )
    return tuple(rows)
