"""Mounting of a formatted device at its staging path: check, mount, verify, grow."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import CommandFailed, DriverError, HostError, WrongState
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.checking import EXT, Checker, how_to_repair
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.exclusive import prove_unchanged
from csi_exoblock.host.filesystems import Twins
from csi_exoblock.host.growing import Grower
from csi_exoblock.host.mountpoints import make_folder
from csi_exoblock.host.mounts import Mounts, real_path
from csi_exoblock.model import AccessMode, Filesystem, MountAccess, VolumeId
from csi_exoblock.options import mount_flags

log = logging.getLogger(__name__)


class VolumeMounter:
    """Mounts volumes at staging paths, at first or for a repair."""

    def __init__(
        self,
        *,
        devices: Devices,
        mounts: Mounts,
        checker: Checker,
        grower: Grower,
        twins: Twins,
        disk_calls: DiskCalls,
    ) -> None:
        self._devices = devices
        self._mounts = mounts
        self._checker = checker
        self._grower = grower
        self._twins = twins
        self._disk_calls = disk_calls

    def mount(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        path: Path,
        access: MountAccess,
        deadline: Deadline,
        *,
        check: bool,
        grow: bool,
    ) -> None:
        """Mount a device with the requested file system, and grow that to fill the device.

        After a final error nothing is mounted; after an error that a retry can mend, something can
        be (D5).

        Args:
            check: Whether to check the file system first, if it is of a type that needs a check.
            grow: Whether to grow it; a read-only mount is never grown.

        Raises:
            WrongState: The file system is damaged, or another disk with its id is mounted.
            HostError: A command failed, or the device was replaced meanwhile.
            DeadlineExceeded: The deadline came first; a check or growth that has begun goes on.
        """
        writing = not wants_read_only(access)
        if check and writing:
            self._checker.check(volume_id, device, access.filesystem, deadline)
        self._mount(volume_id, device, path, access, deadline)
        if grow and writing:
            self.fill(volume_id, device, path, access, deadline)

    def refuse_write_protected(
        self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline
    ) -> None:
        """Raise WrongState unless the device takes writes (D7).

        Raises:
            HostError: It doesn't answer.
        """
        if self._disk_calls.is_read_only(device, deadline):
            raise WrongState(
                f"volume {volume_id}: its disk {device.path} is write-protected on this node, so "
                "it can't be used for writing; if that isn't intended, run blockdev --setrw "
                f"{device.path} there, otherwise mount it with the option ro"
            )

    def fill(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        path: Path,
        access: MountAccess,
        deadline: Deadline,
    ) -> None:
        """Grow a staged file system to fill its device; unmount it if the kernel demands that (S8).

        A file system that is published to pods is never unmounted: it grows at the next stage. If
        growing it fails, these pods keep it as it is, and its health says so.

        Raises:
            HostError: A command failed. The mount can be gone then; a retry mounts it again.
            WrongState: The file system is damaged; it is no longer mounted.
        """
        try:
            if self.grow(volume_id, device, access.filesystem, path, deadline) is None:
                return
        except CommandFailed as error:
            if self._is_published(device, path):
                log.warning("file system not grown", extra={"path": path, "error": str(error)})
                return
            # Some kernels let no program open the disk of a mounted ext, as resize2fs does first.
            if access.filesystem not in EXT:
                raise
        if self._is_published(device, path):
            return
        logs.step("unmounting to grow")
        self._unmount(path, deadline)
        self._grower.grow_unmounted(volume_id, device, deadline)
        self._mount(volume_id, device, path, access, deadline)

    def _is_published(self, device: BlockDevice, path: Path) -> bool:
        """Return whether a staged device is mounted elsewhere too."""
        return any(mount.target != real_path(path) for mount in self._mounts.of(device.number))

    def grow(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        filesystem: Filesystem,
        path: Path,
        deadline: Deadline,
    ) -> str | None:
        """Grow a mounted file system to fill its device; return why the kernel refuses, if it does.

        Raises:
            HostError: Growing failed. The mount stays: only a retry can find out how far it came.
        """
        logs.step("growing the mounted file system")
        return self._grower.grow_mounted(volume_id, device, filesystem, path, deadline)

    def _mount(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        path: Path,
        access: MountAccess,
        deadline: Deadline,
    ) -> None:
        deadline.check()
        logs.step("mounting the file system")
        make_folder(path)
        with self._disk_calls.holding(device, deadline) as held:
            prove_unchanged(self._devices, volume_id, device)
            self._mount_proven(volume_id, device, path, access, deadline, held=held)

    def _mount_proven(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        path: Path,
        access: MountAccess,
        deadline: Deadline,
        *,
        held: int,
    ) -> None:
        if not wants_read_only(access):
            self.refuse_write_protected(volume_id, device, deadline)
        try:
            self._mounts.mount(device.path, path, access.filesystem, flags_of(access), held=held)
        except WrongState as error:
            tool = {Filesystem.XFS: "xfs_repair", Filesystem.BTRFS: "btrfs check"}
            remedy = how_to_repair(volume_id, tool.get(access.filesystem, "e2fsck -f"))
            raise WrongState(f"volume {volume_id}: {error}. {remedy}") from error
        except CommandFailed as error:
            self._explain(volume_id, device, access.filesystem, error, deadline)
            raise
        logs.step("verifying the staging mount")
        try:
            self._prove(volume_id, device, path, writing=not wants_read_only(access))
        except DriverError:
            self._unmount(path, deadline)
            raise

    def _explain(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        filesystem: Filesystem,
        error: CommandFailed,
        deadline: Deadline,
    ) -> None:
        """Raise WrongState if a mount failed because a btrfs with the same id is mounted here.

        A kernel that mounts both fails at it at times, and a retry succeeds.

        Raises:
            WrongState: A btrfs with the same id is mounted from another disk.
        """
        if filesystem is not Filesystem.BTRFS or _mounts_twins():
            return
        if twin := self._disk_calls.run(device, lambda: self._twins.mounted(device), deadline):
            raise WrongState(
                f"volume {volume_id}: another disk with the id of its btrfs, {twin}, is mounted "
                "here, and only Linux 6.7 and later mount both: run the pods of a restored volume "
                f"and of its source on different nodes ({error})"
            ) from error

    def _unmount(self, path: Path, deadline: Deadline) -> None:
        try:
            self._mounts.unmount(path, deadline)
        except WrongState as error:  # must not be final, as a mount is left (D5)
            raise HostError(str(error)) from error

    def _prove(
        self, volume_id: VolumeId, device: BlockDevice, path: Path, *, writing: bool
    ) -> None:
        """Raise HostError or WrongState unless the volume's disk is mounted as requested.

        Raises:
            HostError: Another disk is mounted, or the volume has another one now (D2).
            WrongState: The kernel has mounted it read-only, although it is for writing (D7).
        """
        layers = self._mounts.at(path)
        mounted = layers[-1].device if layers else None
        now = self._devices.present(volume_id.uuid)
        if mounted != device.number or mounted not in self._devices.numbers(now):
            raise HostError(
                f"volume {volume_id}: device {mounted} is mounted at {path}, but the volume's disk "
                f"is {now.number}; it is unmounted again"
            )
        if writing and not layers[-1].writable:
            raise WrongState(
                f"volume {volume_id}: the kernel mounts its file system for reading only, so it is "
                "unmounted again; the kernel's log says why; the mount option ro allows that"
            )


def wants_read_only(access: MountAccess) -> bool:
    """Return whether the file system must be mounted read-only."""
    return "ro" in _asked(access)


def flags_of(access: MountAccess) -> tuple[str, ...]:
    """Return the flags for the staging mount, after checking them once more (F13).

    Raises:
        InvalidRequest: A flag isn't allowed.
    """
    own: tuple[str, ...] = ()
    if access.filesystem is Filesystem.XFS:
        own = ("nouuid",)  # a restored volume has its source's UUID, which xfs would refuse (D9)
    elif access.filesystem in EXT:
        own = ("errors=remount-ro",)  # even if its superblock says panic (D7)
    return tuple(dict.fromkeys((*_asked(access), *own)))


def _asked(access: MountAccess) -> tuple[str, ...]:
    read_only = access.mode is AccessMode.SINGLE_NODE_READER_ONLY
    return mount_flags(access.mount_flags, access.filesystem, read_only=read_only)


def _mounts_twins() -> bool:
    """Return whether the kernel mounts two btrfs of one id: from Linux 6.7 on."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return version is not None and (int(version[1]), int(version[2])) >= (6, 7)
