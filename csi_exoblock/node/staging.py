"""NodeStageVolume and NodeUnstageVolume: mount a volume on its node, and unmount it."""

from __future__ import annotations

import logging
from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, Holds
from csi_exoblock.errors import (
    DriverError,
    ForeignContent,
    HostError,
    InvalidRequest,
    Mismatch,
    NotFound,
    WrongState,
)
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.formatting import Formatter
from csi_exoblock.host.history import History
from csi_exoblock.host.jobs import Jobs
from csi_exoblock.host.liveness import Liveness
from csi_exoblock.host.mounts import Mount, Mounts
from csi_exoblock.host.protections import Protections
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.model import Access, BlockAccess, MountAccess, VolumeId
from csi_exoblock.node.frozen import Frozen
from csi_exoblock.node.mounting import (
    VolumeMounter,
    flags_of,
    wants_read_only,
)
from csi_exoblock.node.release import Release
from csi_exoblock.node.repair import Repair
from csi_exoblock.node.territory import Territory
from csi_exoblock.options import FsckPolicy, VolumeContext

log = logging.getLogger(__name__)

# The errors after which kubelet takes the volume for unmounted.
_FINAL = (ForeignContent, InvalidRequest, Mismatch, NotFound, WrongState)


class Staging:
    """Stages volumes: finds, formats, checks, mounts and grows them; and unstages them."""

    def __init__(
        self,
        *,
        holds: Holds,
        jobs: Jobs,
        devices: Devices,
        mounts: Mounts,
        formatter: Formatter,
        history: History,
        mounter: VolumeMounter,
        liveness: Liveness,
        release: Release,
        frozen: Frozen,
        repair: Repair,
        write_back: WriteBack,
        protections: Protections,
        territory: Territory,
    ) -> None:
        self._holds = holds
        self._jobs = jobs
        self._devices = devices
        self._mounts = mounts
        self._formatter = formatter
        self._history = history
        self._mounter = mounter
        self._liveness = liveness
        self._release = release
        self._frozen = frozen
        self._repair = repair
        self._write_back = write_back
        self._protections = protections
        self._territory = territory

    def stage(
        self,
        volume_id: VolumeId,
        staging_path: Path,
        access: Access,
        context: VolumeContext,
        deadline: Deadline,
    ) -> None:
        """Mount the volume's file system at a path, after making it on a blank disk if allowed.

        For a raw block volume this only finds the disk. A volume that is staged already is left
        mounted.

        Raises:
            InvalidRequest: A mount flag or format option isn't allowed, or the path isn't below
                kubelet's folder.
            ForeignContent: The disk holds something else than was requested, or might hold data.
            WrongState: The file system is damaged, in use elsewhere, or two disks have its id.
            Mismatch: Something else is mounted at the path.
            OperationPending: Another call or a job works on the volume, or a command of an earlier
                driver process on its disk.
            HostError: The disk is absent, can't be read, or a command failed.
            DeadlineExceeded: The deadline came first; mkfs, a check or growth goes on.
        """
        volume = f"volume {volume_id}"
        with self._holds.hold(volume):
            self._jobs.check(volume)
            try:
                self._territory.check_path(staging_path)
                self._territory.check_place(staging_path)
                self._repair.forget(volume_id)
                self._write_back.forget(volume)
                self._stage(volume_id, staging_path, access, context, deadline)
            except _FINAL as error:
                if isinstance(access, MountAccess):
                    self.refuse_mounted(volume_id, staging_path, error)
                raise

    def refuse_mounted(self, volume_id: VolumeId, path: Path, error: DriverError) -> None:
        """Raise HostError if the volume is mounted at a path although its stage failed for good.

        After a final error kubelet doesn't unstage, and the disk would be detached mounted (D5).
        """
        is_foreign = isinstance(error, Mismatch) and not self._is_mounted(volume_id, path)
        if self._mounts.at(path) and not is_foreign:
            raise HostError(f"{error}; it is still mounted at {path}") from error

    def unstage(self, volume_id: VolumeId | None, staging_path: Path, deadline: Deadline) -> None:
        """Unmount every layer at the path, and return once nothing holds the disk any more.

        Args:
            volume_id: `None` for an id that doesn't parse, whose disk can't be known.

        Raises:
            InvalidRequest: The path isn't below kubelet's folder.
            WrongState: The disk is still in use, and the message names its users; or something
                else is mounted at the path.
            OperationPending: Another call or a job works on the volume.
            HostError: A command failed.
        """
        self._territory.check_path(staging_path)
        if volume_id is None:
            self._territory.check_mounts(None, staging_path, deadline)
            self._mounts.unmount(staging_path, deadline)
            return
        volume = f"volume {volume_id}"
        with self._holds.hold(volume):
            # What isn't the volume's is not thawed either; the release asks again, after the wait.
            self._territory.check_mounts(volume_id, staging_path, deadline)
            self._frozen.let_commands_end(volume_id, staging_path, deadline)
            self._jobs.check(volume)
            self._repair.forget(volume_id)
            self._release.release(volume_id, staging_path, deadline)
            self._protections.lift(volume_id, deadline)

    def _stage(
        self,
        volume_id: VolumeId,
        staging_path: Path,
        access: Access,
        context: VolumeContext,
        deadline: Deadline,
    ) -> None:
        logs.step("finding the device")
        device = disk = self._devices.find(volume_id.uuid, deadline)
        if isinstance(access, BlockAccess):
            return
        flags_of(access)
        if context.partition is not None:
            device = self._devices.partition(device, context.partition)
        logs.step("checking whether it is staged already")
        if self._is_staged(volume_id, device, staging_path, access, deadline):
            self._remember(volume_id, access, context)
            self._fill(volume_id, device, staging_path, access, context, deadline)
            return
        self._release.note_file_system(volume_id, disk)
        logs.step("checking for a frozen file system")
        self._frozen.recover(volume_id, device, deadline)
        writing = not wants_read_only(access)
        if writing:
            self._mounter.refuse_write_protected(volume_id, device, deadline)
        logs.step("probing the disk")
        formatted = self._formatter.prepare(
            volume_id, device, access.filesystem, context, deadline, writing=writing
        )
        if not formatted:  # which was remembered before it was formatted
            self._remember(volume_id, access, context)
        self._mounter.mount(
            *(volume_id, device, staging_path, access, deadline),
            check=context.fsck is FsckPolicy.AUTO and not formatted,
            grow=context.partition is None,
        )

    def _is_mounted(self, volume_id: VolumeId, path: Path) -> bool:
        """Return whether a layer at a path shows the volume's disk."""
        disk, _ = self._devices.search(volume_id.uuid)
        layers = self._mounts.at(path)
        return disk is not None and not self._devices.numbers(disk).isdisjoint(
            layer.device for layer in layers
        )

    def _remember(self, volume_id: VolumeId, access: MountAccess, context: VolumeContext) -> None:
        """Note that the volume is written here, so that it never passes for new again (N19)."""
        if not wants_read_only(access):
            self._history.remember(volume_id, context.age)

    def _is_staged(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        path: Path,
        access: MountAccess,
        deadline: Deadline,
    ) -> bool:
        """Return whether the volume is staged as requested; unmount a mount that is dead.

        Raises:
            Mismatch: Something else is mounted at the path.
            WrongState: The device is mounted elsewhere, or its file system is dead but in use.
        """
        self._release.clear_vanished(volume_id, device, path, deadline)
        self._territory.check_unoccupied(volume_id, path, deadline)
        layers = self._mounts.at(path)
        if not layers:
            self._refuse_other_mounts(volume_id, device)
            return False
        mount = layers[-1]
        _compare(volume_id, mount, device, access)
        broken = self._liveness.why_unusable(mount, writing=not wants_read_only(access))
        if broken is None:
            return True
        self._release.clear_broken(volume_id, mount, broken, deadline)
        return False

    def _refuse_other_mounts(self, volume_id: VolumeId, device: BlockDevice) -> None:
        """Raise WrongState if a device is mounted, or its disk published as a raw device."""
        numbers = self._devices.numbers(self._devices.present(volume_id.uuid))
        mounts = (mount for number in sorted(numbers) for mount in self._mounts.of(number))
        if others := [each for each in mounts if each.is_block or each.device == device.number]:
            raise WrongState(
                f"volume {volume_id}: its device {device.path} is already mounted at "
                f"{', '.join(str(mount.target) for mount in others)}; unmount it there first"
            )

    def _fill(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        path: Path,
        access: MountAccess,
        context: VolumeContext,
        deadline: Deadline,
    ) -> None:
        """Grow the file system, unless an earlier call has finished its growth (S8)."""
        if context.partition is None and not wants_read_only(access):
            self._mounter.fill(volume_id, device, path, access, deadline)


def _compare(volume_id: VolumeId, mount: Mount, device: BlockDevice, access: MountAccess) -> None:
    """Raise Mismatch unless a mount is as requested.

    Raises:
        Mismatch: The message names the differences.
    """
    differences = [
        f"{what} is {found}, not {asked}"
        for what, found, asked in (
            ("the device", mount.device, device.number),
            ("the file system", mount.filesystem, str(access.filesystem)),
            # Read-only although a writable mount is requested is no mismatch: the kernel can have
            # made it so, and it is mounted again unless it is in use.
            ("read-only", mount.read_only, mount.read_only or wants_read_only(access)),
        )
        if found != asked
    ]
    if differences:
        raise Mismatch(
            f"volume {volume_id}: {mount.target} is already a mount, and {'; '.join(differences)}; "
            "unstage it first"
        )
