"""The release of a volume's mounts: of all when it leaves, of dead ones when it returns (D4)."""

from __future__ import annotations

import logging
from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, WrongState
from csi_exoblock.host.block_devices import BlockDevice, DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.holders import Holders, listed
from csi_exoblock.host.liveness import Trouble
from csi_exoblock.host.mounts import Mount, Mounts, real_path
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.model import Filesystem, VolumeId
from csi_exoblock.node.frozen import Frozen
from csi_exoblock.node.territory import Territory
from csi_exoblock.timing import NodeTiming

log = logging.getLogger(__name__)

_OURS = frozenset(Filesystem)


class Release:
    """Unmounts volumes, and proves that nothing holds their disks any more."""

    def __init__(
        self,
        *,
        devices: Devices,
        mounts: Mounts,
        holders: Holders,
        write_back: WriteBack,
        frozen: Frozen,
        territory: Territory,
        disk_calls: DiskCalls,
        timing: NodeTiming,
    ) -> None:
        self._devices = devices
        self._mounts = mounts
        self._holders = holders
        self._write_back = write_back
        self._frozen = frozen
        self._territory = territory
        self._disk_calls = disk_calls
        self._timing = timing
        self._as_file_systems: dict[VolumeId, BlockDevice] = {}

    def release(self, volume_id: VolumeId, path: Path, deadline: Deadline) -> None:
        """Unmount every layer at a path, then prove that nothing uses the volume's disk.

        Mounts elsewhere are searched first. While there are any, the path stays mounted, so that a
        retry finds them again, even for a disk that is gone.

        Raises:
            WrongState: Something uses the disk; the message names it.
            HostError: A command failed.
            DeadlineExceeded: The deadline came first.
        """
        self._territory.check_mounts(volume_id, path, deadline)
        logs.step("checking for other mounts")
        device, suspects = self._devices.search(volume_id.uuid)
        layers = self._mounts.at(path)
        if device is None:
            self._devices.refuse_unreadable(volume_id.uuid)
            device = self._nameless(volume_id, layers)
        numbers = self._numbers(volume_id, device, layers)
        superblocks = {each.superblock for each in layers if each.filesystem in _OURS}
        self._refuse_mounts(volume_id, numbers, superblocks, apart_from=real_path(path))
        logs.step("writing back the file system")
        if layers:
            self._write_back.sync_file_system(f"volume {volume_id}", path)
        logs.step("unmounting the staging path")
        self._mounts.unmount(path, deadline)
        logs.step("proving that the disk is free")
        self._refuse_mounts(volume_id, numbers, superblocks, apart_from=None)
        if device is not None:
            if layers:
                self.note_file_system(volume_id, device)
            self._sync(volume_id, device)
            self._wait_until_free(volume_id, device, deadline)
            self._sync(volume_id, device)
        for name in suspects:
            self._refuse_used_suspect(volume_id, self._devices.named(name), deadline)
        self.forget(volume_id)

    def note_file_system(self, volume_id: VolumeId, disk: BlockDevice) -> None:
        """Note that the volume is used as a file system here, so no pod has its raw device."""
        self._as_file_systems[volume_id] = disk

    def forget(self, volume_id: VolumeId) -> None:
        """Forget that the volume is used as a file system: it is released, or published raw."""
        self._as_file_systems.pop(volume_id, None)

    def clear_vanished(
        self, volume_id: VolumeId, device: BlockDevice, path: Path, deadline: Deadline
    ) -> None:
        """Unmount a path whose mount is of a disk that is no longer there.

        Raises:
            WrongState: It is in use.
            HostError: A command failed.
        """
        if self._territory.foreign(volume_id, path, deadline):  # unmounting would remove it too
            return
        for mount in self._mounts.at(path):
            if self._has_vanished(mount, device, deadline):
                logs.step("unmounting a disk that is gone")
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
        logs.step("unmounting to repair")
        self._mounts.unmount(mount.target, deadline)

    def _has_vanished(self, mount: Mount, device: BlockDevice, deadline: Deadline) -> bool:
        if mount.filesystem not in _OURS:
            return False
        if mount.device is None or not self._devices.is_there(mount.device):
            return True
        # The same number, but the disk isn't in use: an earlier disk of that number is mounted.
        if mount.device != device.number:
            return False
        return not self._disk_calls.is_in_use(device, deadline)

    def _wait_until_free(
        self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline
    ) -> None:
        """Wait until nothing on this host holds the device in any way (D4, D6).

        If it is used as a file system, no pod has it as a raw device. Then processes that hang on
        other disks are ignored (S26).

        Raises:
            WrongState: Something still holds it; the message names it.
            HostError: The holders can't be found.
            DeadlineExceeded: The caller's time ended first.
        """
        numbers = self._devices.numbers(device)
        patience = deadline.within(self._timing.device_in_use)
        noted = self._as_file_systems.get(volume_id)
        is_file_system = noted is not None and _is_same(noted, device)

        def users_now() -> tuple[str, ...]:
            return self._holders.of_device(numbers, skip_hung=is_file_system)

        def is_claimed() -> bool:
            return self._disk_calls.is_in_use(device, deadline)

        # Asked once more at the end: a mount command that ends while its process is looked for
        # leaves a mount that the look came too early for.
        while (claimed := is_claimed()) or users_now() or (claimed := is_claimed()):
            if not patience.remaining():
                deadline.check()
                users = users_now()
                if (
                    claimed
                    and not users
                    and self._frozen.thaw_unmounted(device, deadline, skip_hung=is_file_system)
                ):
                    continue
                raise WrongState(
                    f"volume {volume_id}: device {device.path} is still in use by {listed(users)}"
                )
            deadline.wait(min(self._timing.device_poll, patience.remaining()))

    def _refuse_used_suspect(
        self, volume_id: VolumeId, suspect: BlockDevice, deadline: Deadline
    ) -> None:
        """Raise HostError if a disk that might be the volume's is in use.

        A disk that isn't open has nothing cached either, so it can be detached safely.
        """
        users = self._holders.of_device(self._devices.numbers(suspect))
        if users or self._disk_calls.is_in_use(suspect, deadline):
            raise HostError(
                f"volume {volume_id}: the disk {suspect.name}, which might be its own, doesn't "
                f"answer and is in use by {listed(users)}; Kubernetes will retry"
            )

    def _sync(self, volume_id: VolumeId, device: BlockDevice) -> None:
        self._write_back.sync_device(f"volume {volume_id}", device.path, device.number)

    def _nameless(self, volume_id: VolumeId, layers: tuple[Mount, ...]) -> BlockDevice | None:
        """Return the disk that is mounted as the volume's and no longer tells whose it is (D4).

        Also if an earlier call has unmounted it, and could not prove that it is free.
        """
        before = self._as_file_systems.get(volume_id)
        mounted = [each.device for each in layers if each.filesystem in _OURS]
        for number in (*mounted, before.number if before else None):
            found = self._devices.nameless(number) if number is not None else None
            if found and (number in mounted or (before and _is_same(before, found))):
                return found
        return None

    def _numbers(
        self, volume_id: VolumeId, device: BlockDevice | None, layers: tuple[Mount, ...]
    ) -> frozenset[DeviceNumber]:
        """Return every device number under which the volume can be mounted."""
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
        # The kernel invents the number of a btrfs, and gives it to any new file system, such as
        # another pod's tmpfs, as soon as the btrfs is unmounted.
        mounts = [
            *(mount for number in sorted(numbers) for mount in self._mounts.of(number)),
            *(
                mount
                for each in sorted(superblocks)
                for mount in self._mounts.of_superblock(each)
                if mount.filesystem in _OURS and (mount.device is None or mount.device in numbers)
            ),
        ]
        left = dict.fromkeys(str(each.target) for each in mounts if each.target != apart_from)
        if left:
            raise WrongState(
                f"volume {volume_id}: it is still mounted at {', '.join(left)}; unpublish it first"
            )


def _is_same(before: BlockDevice, now: BlockDevice) -> bool:
    return (before.number, before.sequence) == (now.number, now.sequence)
