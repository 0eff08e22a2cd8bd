"""NodeExpandVolume: grow a mounted file system to fill a volume that has grown (S7)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.capacity import CapacityRange
from csi_exoblock.concurrency import Deadline, Holds
from csi_exoblock.errors import NotFound, SizeOutOfRange, WrongState
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.jobs import Jobs
from csi_exoblock.host.mounts import Mounts
from csi_exoblock.model import Filesystem, VolumeId
from csi_exoblock.node.mounting import VolumeMounter


class Expansion:
    """Grows mounted file systems; one that can't grow now grows at the next stage (S8)."""

    def __init__(
        self,
        *,
        holds: Holds,
        jobs: Jobs,
        devices: Devices,
        mounts: Mounts,
        mounter: VolumeMounter,
    ) -> None:
        self._holds = holds
        self._jobs = jobs
        self._devices = devices
        self._mounts = mounts
        self._mounter = mounter

    def expand(
        self, volume_id: VolumeId, volume_path: Path, size: CapacityRange, deadline: Deadline
    ) -> int:
        """Grow the file system that is mounted at a path, and return its device's size in bytes.

        A raw block device, a partition and a file system that fills its device stay as they are.

        Raises:
            NotFound: The volume isn't mounted at the path.
            SizeOutOfRange: The device is larger than the request allows.
            WrongState: The device is smaller than requested, the volume is mounted read-only, or
                the kernel refuses to grow a mounted file system.
            OperationPending: Another call or a job works on the volume.
            HostError: The disk is gone, or a command failed.
            DeadlineExceeded: The deadline came first; a growth that has begun goes on.
        """
        volume = f"volume {volume_id}"
        with self._holds.hold(volume):
            self._jobs.check(volume)
            logs.step("finding the device")
            disk = self._devices.present(volume_id.uuid)
            layers = self._mounts.at(volume_path)
            if not layers or layers[-1].device not in self._devices.numbers(disk):
                raise NotFound(f"volume {volume_id}: it is not mounted at {volume_path}")
            mount = layers[-1]
            _check_size(volume_id, disk, size)
            if mount.is_block or mount.device != disk.number:
                return disk.size_bytes
            writable = next((each for each in self._mounts.of(disk.number) if each.writable), None)
            if writable is None:
                raise WrongState(
                    f"volume {volume_id}: it is mounted read-only; it grows when it is staged for "
                    "writing"
                )
            refusal = self._mounter.grow(
                volume_id, disk, Filesystem(mount.filesystem), writable.target, deadline
            )
            if refusal is not None:
                raise WrongState(
                    f"volume {volume_id}: this node can't grow {mount.filesystem} while it is "
                    f"mounted ({refusal}); it grows by itself at the next stage, when its pod is "
                    "replaced"
                )
            return disk.size_bytes


def _check_size(volume_id: VolumeId, disk: BlockDevice, size: CapacityRange) -> None:
    """Raise WrongState or SizeOutOfRange unless a device's size is in the requested range."""
    if disk.size_bytes < size.required_bytes:
        raise WrongState(
            f"volume {volume_id}: its device {disk.path} has {disk.size_bytes} bytes here, fewer "
            f"than the {size.required_bytes} asked for; a volume that has grown in the cloud shows "
            "its new size once it is attached again, and its file system then grows by itself: "
            "replace its pod"
        )
    if size.limit_bytes and disk.size_bytes > size.limit_bytes:
        raise SizeOutOfRange(
            f"volume {volume_id}: its device {disk.path} has {disk.size_bytes} bytes, more than "
            f"the limit of {size.limit_bytes}, and no volume shrinks"
        )
