"""File systems that were left frozen: free the mount and the disk that they keep busy (D13)."""

from __future__ import annotations

import logging
from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, OperationPending, WrongState
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.holders import Holders, listed
from csi_exoblock.host.mounts import Mount, Mounts
from csi_exoblock.host.thawing import Thawing
from csi_exoblock.model import VolumeId
from csi_exoblock.timing import NodeTiming

log = logging.getLogger(__name__)


class Frozen:
    """Thaws file systems that only the driver itself has used for some time."""

    def __init__(
        self,
        *,
        devices: Devices,
        mounts: Mounts,
        holders: Holders,
        thawing: Thawing,
        disk_calls: DiskCalls,
        timing: NodeTiming,
    ) -> None:
        self._devices = devices
        self._mounts = mounts
        self._holders = holders
        self._thawing = thawing
        self._disk_calls = disk_calls
        self._timing = timing

    def let_commands_end(self, volume_id: VolumeId, path: Path, deadline: Deadline) -> None:
        """Wait for the driver's own commands on a mounted file system; if they hang, thaw it.

        A growth hangs inside the kernel while its file system is frozen, even after the driver
        process that began it is gone. A command that still runs on a file system that isn't frozen
        is left alone.

        Raises:
            WrongState: Another process uses the file system, perhaps the one that froze it.
            HostError: The file system doesn't answer, or its users can't be found.
            DeadlineExceeded: The caller's time ended first.
        """
        for mount in self._mounts.at(path)[-1:]:
            patience = deadline.within(self._timing.device_in_use)
            while commands := self._holders.commands_on(mount.target, mount.superblock):
                if not patience.remaining():
                    deadline.check()
                    self._refuse_others(volume_id, mount, commands)
                    if not self._thaw_mounted(mount):
                        return
                    patience = deadline.within(self._timing.device_in_use)
                deadline.wait(min(self._timing.device_poll, patience.remaining()))

    def recover(self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline) -> None:
        """Wait until a device that is to be mounted is free; thaw what was left frozen on it.

        Somebody can claim a disk for a moment, such as udev or another driver process. The disk is
        used as a file system here, so processes that hang on other disks are ignored (S26).

        Raises:
            OperationPending: A command of the driver works on it, perhaps one that outlived an
                earlier driver process (D10).
            HostError: Somebody else has claimed it, and the message names who; or the disk doesn't
                answer, or its users can't be found.
            DeadlineExceeded: The caller's time ended first.
        """
        patience = deadline.within(self._timing.device_in_use)
        numbers = self._devices.numbers(device)
        while self._disk_calls.is_in_use(device, deadline):
            if commands := self._holders.commands_with(numbers):
                raise OperationPending(
                    f"volume {volume_id}: {listed(commands)} still works on its disk "
                    f"{device.path}; it is not interrupted; retry"
                )
            if patience.remaining():
                deadline.wait(min(self._timing.device_poll, patience.remaining()))
                continue
            deadline.check()
            users = self._holders.of_device(numbers, skip_hung=True)
            if users or not self.thaw_unmounted(device, deadline, skip_hung=True):
                self._refuse_claimed(volume_id, device, users, deadline)
            patience = deadline.within(self._timing.device_in_use)

    def thaw_unmounted(self, device: BlockDevice, deadline: Deadline, *, skip_hung: bool) -> bool:
        """Thaw the file systems on a disk and its partitions; return whether one was frozen.

        A partition that isn't claimed has none that is frozen, and could be mounted for the first
        time, whatever is on it.

        Args:
            skip_hung: Whether processes that hang are ignored, as they have no raw device (S26).

        Raises:
            HostError: The disk doesn't answer.
            DeadlineExceeded: The caller's time ended first.
        """
        logs.step("thawing a frozen file system that nobody uses")
        parts = (self._devices.at(number) for number in sorted(self._devices.numbers(device)))
        thawed = [
            part.name
            for part in parts
            if self._disk_calls.is_in_use(part, deadline)
            and self._thawing.thaw(part, skip_hung=skip_hung)
        ]
        if thawed:
            log.warning("file system was left frozen, thawed it", extra={"devices": thawed})
        return bool(thawed)

    def _refuse_claimed(
        self, volume_id: VolumeId, device: BlockDevice, users: tuple[str, ...], deadline: Deadline
    ) -> None:
        """Raise HostError if a device is claimed still, and name who has it (F11).

        That isn't final: kubelet would let the disk be detached, perhaps under a mount (D5).

        A partition is claimed, too, by those who have the whole disk.
        """
        if not self._disk_calls.is_in_use(device, deadline):
            return
        if not users:
            disk = self._devices.present(volume_id.uuid)
            users = self._holders.of_device(self._devices.numbers(disk), skip_hung=True)
        raise HostError(
            f"volume {volume_id}: its disk {device.path} is in use by {listed(users)}; it can be "
            "mounted once that has ended"
        )

    def _refuse_others(self, volume_id: VolumeId, mount: Mount, commands: tuple[str, ...]) -> None:
        others = self._holders.beside_commands(mount.device, mount.target, mount.superblock)
        if others:
            raise WrongState(
                f"volume {volume_id}: {listed(commands)} works on its file system, which might be "
                f"frozen; it isn't thawed while it is in use by {listed(others)}"
            )

    def _thaw_mounted(self, mount: Mount) -> bool:
        logs.step("thawing a frozen file system on which a command hangs")
        if not self._thawing.thaw_mounted(mount.target):
            return False
        log.warning("file system was left frozen, thawed it", extra={"path": str(mount.target)})
        return True
