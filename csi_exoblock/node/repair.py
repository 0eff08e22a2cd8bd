"""Repair of staged file systems that no longer work: check them and mount them again (D7)."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import WrongState
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.liveness import Liveness
from csi_exoblock.host.mounts import Mount, Mounts
from csi_exoblock.host.notes import Repairs
from csi_exoblock.model import MountAccess, VolumeId
from csi_exoblock.node.frozen import Frozen
from csi_exoblock.node.mounting import VolumeMounter, wants_read_only
from csi_exoblock.node.release import Release
from csi_exoblock.options import FsckPolicy, VolumeContext


class Repair:
    """Repairs staged file systems, and finishes the repairs of earlier calls.

    Kubelet stages a volume once for all its pods. So a repair is noted before it unmounts, in case
    the driver dies, until the volume is mounted again, staged again or unstaged.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        mounts: Mounts,
        mounter: VolumeMounter,
        liveness: Liveness,
        release: Release,
        frozen: Frozen,
        repairs: Repairs,
    ) -> None:
        self._devices = devices
        self._mounts = mounts
        self._mounter = mounter
        self._liveness = liveness
        self._release = release
        self._frozen = frozen
        self._repairs = repairs

    def working_mount(
        self,
        volume_id: VolumeId,
        disk: BlockDevice,
        path: Path,
        access: MountAccess,
        context: VolumeContext,
        deadline: Deadline,
    ) -> Mount:
        """Return the staging mount; if its file system doesn't work, repair it once first.

        Raises:
            WrongState: The volume isn't staged, or can't be repaired now.
            OperationPending: The check of an earlier repair goes on.
            HostError: A command failed, or somebody else has claimed the disk; a retry goes on with
                the repair.
            DeadlineExceeded: The deadline came first; a check that has begun goes on.
        """
        logs.step("checking the staging mount")
        writing = not wants_read_only(access)
        if not self._is_unfinished(volume_id, path):
            if mount := self._staging_mount(disk, path):
                broken = self._liveness.why_unusable(mount, writing=writing)
                if broken is None or mount.device is None:
                    return mount
                self._repairs.begin(volume_id, path, mount.device)
                self._release.clear_broken(volume_id, mount, broken, deadline)
            else:
                self._clear_vanished(volume_id, self._device(disk, context), path, deadline)
        device = self._device(disk, context)
        self._frozen.recover(volume_id, device, deadline)
        check = context.fsck is FsckPolicy.AUTO
        self._mounter.mount(volume_id, device, path, access, deadline, check=check, grow=False)
        self.forget(volume_id)
        mount = self._staging_mount(disk, path)
        if mount is None:
            raise _not_staged(volume_id, disk, path)
        if broken := self._liveness.why_unusable(mount, writing=writing):
            raise WrongState(
                f"volume {volume_id}: its file system at {path} doesn't work, not even after it "
                f"was mounted again: {broken}"
            )
        return mount

    def forget(self, volume_id: VolumeId) -> None:
        """Drop a repair of the volume: it has ended, or a stage or unstage replaces it."""
        self._repairs.end(volume_id)

    def _is_unfinished(self, volume_id: VolumeId, path: Path) -> bool:
        """Return whether an earlier repair unmounted the volume and has not mounted it again.

        Its disk can have left since, and come back under another number.
        """
        return self._repairs.unfinished(volume_id) == path and not self._mounts.at(path)

    def _device(self, disk: BlockDevice, context: VolumeContext) -> BlockDevice:
        """Return the device that is mounted for the volume: its disk, or a partition of it."""
        if context.partition is None:
            return disk
        return self._devices.partition(disk, context.partition)

    def _clear_vanished(
        self, volume_id: VolumeId, device: BlockDevice, path: Path, deadline: Deadline
    ) -> None:
        """Unmount a disk that has left, so that the one with which it came back is mounted.

        Kubelet stages no volume that a pod still uses, be it only one that is Terminating. So the
        next pod would wait for ever for somebody to unmount the dead one.

        Raises:
            WrongState: Nothing is mounted at the path, or something that stays.
        """
        if not self._mounts.at(path):
            raise _not_staged(volume_id, device, path)
        self._repairs.begin(volume_id, path, device.number)
        self._release.clear_vanished(volume_id, device, path, deadline)
        if self._mounts.at(path):  # it is somebody else's mount, or its disk is still there
            self.forget(volume_id)
            raise _not_staged(volume_id, device, path)

    def _staging_mount(self, disk: BlockDevice, path: Path) -> Mount | None:
        """Return the mount at the staging path if it shows the volume's disk."""
        layers = self._mounts.at(path)
        if layers and layers[-1].device in self._devices.numbers(disk):
            return layers[-1]
        return None


def _not_staged(volume_id: VolumeId, disk: BlockDevice, path: Path) -> WrongState:
    return WrongState(
        f"volume {volume_id}: it is not staged at {path}; its device {disk.number} must be mounted "
        "there first"
    )
