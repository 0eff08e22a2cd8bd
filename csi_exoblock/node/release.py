"""Take a volume's mounts away: all when it leaves, the dead ones when it comes back (D4)."""

from __future__ import annotations

import logging
from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import WrongState
from csi_exoblock.host.devices import BlockDevice, DeviceNumber, Devices
from csi_exoblock.host.exclusive import is_in_use
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.liveness import Trouble
from csi_exoblock.host.mounts import Mount, Mounts, real_path
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.model import Filesystem, VolumeId

log = logging.getLogger(__name__)

_OURS = frozenset(Filesystem)


class Release:
    """Unmounts volumes, and knows when nothing holds a disk any more."""

    def __init__(
        self,
        *,
        devices: Devices,
        mounts: Mounts,
        holders: Holders,
        write_back: WriteBack,
        timing: Timing,
    ) -> None:
        self._devices = devices
        self._mounts = mounts
        self._holders = holders
        self._write_back = write_back
        self._timing = timing

    def release(self, volume_id: VolumeId, path: Path, deadline: Deadline) -> None:
        """Unmount every layer at a path, then prove that nobody has the volume's disk in use.

        Mounts elsewhere are looked for first: while there are any, the path stays as it is, so that
        a repeated call finds out the same, even about a disk that is gone.

        Raises:
            WrongState: Somebody has; the message says who and where.
            HostError: A command failed.
            DeadlineExceeded: The deadline came first.
        """
        logs.step("unstage: looking for other mounts")
        device = self._devices.look(volume_id.uuid)
        layers = self._mounts.at(path)
        numbers = self._numbers(volume_id, device, layers)
        superblocks = {each.superblock for each in layers if each.filesystem in _OURS}
        self._refuse_mounts(volume_id, numbers, superblocks, apart_from=real_path(path))
        logs.step("unstage: writing back")
        if layers:
            self._write_back.write(path)
        logs.step("unstage: unmounting")
        self._mounts.unmount(path, deadline)
        logs.step("unstage: proving that the disk is free")
        self._refuse_mounts(volume_id, numbers, superblocks, apart_from=None)
        if device is not None:
            self._wait_until_free(volume_id, device, deadline)

    def clear_vanished(self, device: BlockDevice, path: Path, deadline: Deadline) -> None:
        """Unmount from a path what was mounted from a disk that is no longer there.

        Raises:
            WrongState: It is in use.
            HostError: A command failed.
        """
        for mount in self._mounts.at(path):
            if self._has_vanished(mount, device):
                logs.step("stage: unmounting a disk that is gone")
                self._mounts.unmount(path, deadline)
                return

    def clear_broken(
        self, volume_id: VolumeId, mount: Mount, why: Trouble, deadline: Deadline
    ) -> None:
        """Unmount a file system that no longer works, so that it can be mounted again (D7).

        Raises:
            WrongState: It is mounted elsewhere too, so a pod has it.
            HostError: A command failed.
        """
        others = [
            str(each.target)
            for each in (self._mounts.of(mount.device) if mount.device else ())
            if each.target != mount.target
        ]
        if others:
            raise WrongState(
                f"volume {volume_id}: its file system doesn't work any more: {why}; stop the pods "
                f"that have it at {', '.join(others)}, then it is repaired"
            )
        log.warning("file system is mounted again to repair it", extra={"reason": str(why)})
        logs.step("repair: unmounting")
        self._mounts.unmount(mount.target, deadline)

    def _has_vanished(self, mount: Mount, device: BlockDevice) -> bool:
        if mount.filesystem not in _OURS:
            return False
        if mount.device is None or not self._devices.is_there(mount.device):
            return True
        # The same number, yet nobody has the disk in use: the mount is of its predecessor.
        return mount.device == device.number and not is_in_use(device)

    def _wait_until_free(
        self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline
    ) -> None:
        """Return when nobody, in any mount namespace, has the device in use (D4, D6).

        Raises:
            WrongState: Somebody keeps it; the message says who.
            DeadlineExceeded: The caller's time ended first.
        """
        patience = deadline.within(self._timing.device_in_use)
        while is_in_use(device):
            if not patience.remaining():
                deadline.check()
                raise WrongState(
                    f"volume {volume_id}: device {device.path} is still in use by "
                    f"{self._holders.of_device(device.number)}"
                )
            deadline.wait(min(self._timing.device_poll, patience.remaining()))

    def _numbers(
        self, volume_id: VolumeId, device: BlockDevice | None, layers: tuple[Mount, ...]
    ) -> frozenset[DeviceNumber]:
        """Return every device number by which the volume may be mounted."""
        here = {mount.device for mount in layers if mount.device is not None}
        own = {
            number
            for number in here
            if not self._devices.belongs_to_another(number, volume_id.uuid)
        }
        return frozenset(own | (self._devices.numbers(device) if device else set()))

    def _refuse_mounts(
        self,
        volume_id: VolumeId,
        numbers: frozenset[DeviceNumber],
        superblocks: set[DeviceNumber],
        *,
        apart_from: Path | None,
    ) -> None:
        mounts = [
            *(mount for number in sorted(numbers) for mount in self._mounts.of(number)),
            *(mount for each in sorted(superblocks) for mount in self._mounts.of_superblock(each)),
        ]
        left = dict.fromkeys(str(each.target) for each in mounts if each.target != apart_from)
        if left:
            raise WrongState(
                f"volume {volume_id}: it is still mounted at {', '.join(left)}; unpublish it first"
            )
