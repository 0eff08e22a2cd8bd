"""NodePublishVolume and NodeUnpublishVolume: bind a staged volume to a pod's path, and undo it."""

from __future__ import annotations

import logging
from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, Holds
from csi_exoblock.errors import HostError, Mismatch, WrongState
from csi_exoblock.host.block_devices import BlockDevice, DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.formatting import Formatter
from csi_exoblock.host.history import History
from csi_exoblock.host.jobs import Jobs
from csi_exoblock.host.mountinfo import has_been_removed
from csi_exoblock.host.mountpoints import make_file, make_folder, remove
from csi_exoblock.host.mounts import Mount, Mounts, real_path
from csi_exoblock.host.protections import Protections
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.model import Access, AccessMode, BlockAccess, MountAccess, VolumeId
from csi_exoblock.node.mounting import wants_read_only
from csi_exoblock.node.release import Release
from csi_exoblock.node.repair import Repair
from csi_exoblock.node.territory import Territory
from csi_exoblock.options import VolumeContext

log = logging.getLogger(__name__)


class Publishing:
    """Publishes volumes by bind mounts: a folder of the file system, or the device node."""

    def __init__(
        self,
        *,
        holds: Holds,
        jobs: Jobs,
        devices: Devices,
        mounts: Mounts,
        repair: Repair,
        release: Release,
        formatter: Formatter,
        history: History,
        write_back: WriteBack,
        protections: Protections,
        territory: Territory,
    ) -> None:
        self._holds = holds
        self._jobs = jobs
        self._devices = devices
        self._mounts = mounts
        self._repair = repair
        self._release = release
        self._formatter = formatter
        self._history = history
        self._write_back = write_back
        self._protections = protections
        self._territory = territory

    def publish(
        self,
        volume_id: VolumeId,
        staging_path: Path,
        target_path: Path,
        access: Access,
        context: VolumeContext,
        read_only: bool,
        deadline: Deadline,
    ) -> None:
        """Bind a staged volume to a target path, which is made; repeated calls add nothing (S14).

        Raises:
            InvalidRequest: The target isn't below kubelet's folder.
            WrongState: The volume isn't staged, its file system doesn't work, or it is published
                at another target in a way that excludes this one.
            Mismatch: Something else is mounted at the target.
            OperationPending: Another call or a job works on the volume.
            HostError: The disk is gone, or a command failed.
            DeadlineExceeded: The deadline came first.
        """
        volume = f"volume {volume_id}"
        with self._holds.hold(volume):
            self._jobs.check(volume)
            self._territory.check_path(target_path)
            self._territory.check_place(target_path)
            logs.step("finding the device")
            device = self._devices.present(volume_id.uuid)
            if isinstance(access, BlockAccess):
                self._formatter.give_up(volume_id)
                self._release.forget(volume_id)
                self._history.remember(volume_id, context.age)
                read_only = read_only or access.mode is AccessMode.SINGLE_NODE_READER_ONLY
                self._publish_device(volume_id, device, target_path, access, read_only, deadline)
            else:
                read_only = read_only or wants_read_only(access)
                staged = self._repair.working_mount(
                    volume_id, device, staging_path, access, context, deadline
                )
                self._publish_folder(volume_id, staged, target_path, access, read_only, deadline)

    def unpublish(self, volume_id: VolumeId | None, target_path: Path, deadline: Deadline) -> None:
        """Unmount every layer at the target, and remove the target itself.

        Args:
            volume_id: `None` for an id that doesn't parse.

        Raises:
            InvalidRequest: The target isn't below kubelet's folder.
            WrongState: The target is in use, or has content that this driver didn't put there.
            OperationPending: Another call works on the volume.
            HostError: A command failed, or the last writes to a raw device can't be written back;
                the latter is an error only once.
            DeadlineExceeded: The deadline came first.
        """
        volume = f"volume {volume_id}" if volume_id else f"path {target_path}"
        with self._holds.hold(volume):
            self._territory.check_path(target_path)
            self._territory.check_mounts(volume_id, target_path, deadline)
            logs.step("writing back the device")
            for layer in self._mounts.at(target_path):
                if layer.is_block and layer.device is not None:
                    self._write_back.sync_device(volume, target_path, layer.device)
            logs.step("unmounting the target")
            self._mounts.unmount(target_path, deadline)
            if volume_id is not None:
                self._protections.lift(volume_id, deadline)
            logs.step("removing the target")
            remove(target_path)

    def _publish_folder(
        self,
        volume_id: VolumeId,
        staged: Mount,
        target: Path,
        access: MountAccess,
        read_only: bool,
        deadline: Deadline,
    ) -> None:
        device = staged.device
        if device is None:
            raise HostError(f"volume {volume_id}: the disk under {staged.target} is gone")
        logs.step("checking the target")
        mount = self._published(volume_id, device, target, deadline)
        if mount is not None and mount.root != staged.root:
            raise Mismatch(
                f"volume {volume_id}: {target} shows its folder {mount.root}, not the whole volume"
            )
        # A bind mount that mount(8) makes read-only has none of its source's other flags (S28).
        flags = staged.flags | {"ro"} if read_only else staged.flags
        if mount is not None and mount.flags == flags:
            return
        if mount is not None and mount.read_only and not read_only:
            raise Mismatch(f"volume {volume_id}: it is already published read-only at {target}")
        self._refuse_second_writer(
            *(volume_id, access, device, staged.root),
            apart_from=(staged.target, real_path(target)),
        )
        if mount is None:
            logs.step("binding the file system")
            make_folder(target)
            self._mounts.bind(staged.target, target, flags if read_only else frozenset())
        else:  # a call was killed between binding and this, or an older driver forgot the flags
            logs.step("correcting the flags of the mount")
            self._mounts.change_flags(target, flags)
        self._prove(volume_id, device, target, flags, deadline)

    def _publish_device(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        target: Path,
        access: BlockAccess,
        read_only: bool,
        deadline: Deadline,
    ) -> None:
        logs.step("checking the target")
        mount = self._published(volume_id, device.number, target, deadline)
        self._refuse_file_system(volume_id, device)
        others = [
            each for each in self._mounts.of(device.number) if each.target != real_path(target)
        ]
        if mount is None:
            _refuse_stale_targets(volume_id, device, others)
        protected = self._protections.is_set(device, deadline)
        if others and protected != read_only:
            raise WrongState(
                f"volume {volume_id}: it is published {'' if read_only else 'read-only '}at "
                f"{others[0].target}, and its device is read-only as a whole or not at all"
            )
        if protected != read_only:
            change = self._protections.set if read_only else self._protections.clear
            change(volume_id, device, deadline)
        if mount is not None:
            return
        self._refuse_second_writer(
            volume_id, access, device.number, None, apart_from=(real_path(target),)
        )
        logs.step("binding the device")
        make_file(target)
        self._mounts.bind(device.path, target)
        self._prove(volume_id, device.number, target, None, deadline)

    def _refuse_file_system(self, volume_id: VolumeId, device: BlockDevice) -> None:
        """Raise WrongState if a file system on the device is mounted: a pod could overwrite it."""
        mounted = [
            str(mount.target)
            for number in sorted(self._devices.numbers(device))
            for mount in self._mounts.of(number)
            if not mount.is_block
        ]
        if mounted:
            raise WrongState(
                f"volume {volume_id}: its file system is mounted at {', '.join(mounted)}, so its "
                "device is not handed to a pod; unstage it there first"
            )

    def _published(
        self, volume_id: VolumeId, device: DeviceNumber, target: Path, deadline: Deadline
    ) -> Mount | None:
        """Return the device's mount at the target, if any; unmount that of a disk that is gone.

        Raises:
            Mismatch: Something else is mounted there.
        """
        layers = self._mounts.at(target)
        if not layers:
            return None
        self._territory.check_unoccupied(volume_id, target, deadline)
        if layers[-1].device == device:
            return layers[-1]
        if layers[-1].device is None or not self._devices.is_there(layers[-1].device):
            self._mounts.unmount(target, deadline)
            return None
        raise Mismatch(
            f"volume {volume_id}: device {layers[-1].device} is mounted at {target} instead of "
            f"{device}; unpublish it first"
        )

    def _refuse_second_writer(
        self,
        volume_id: VolumeId,
        access: Access,
        device: DeviceNumber,
        root: str | None,
        *,
        apart_from: tuple[Path, ...],
    ) -> None:
        """Raise WrongState if a volume for a single writer is published at another target (F15).

        Args:
            root: The folder of the file system that targets show; that of a btrfs isn't always the
                topmost. A pod's own binds of folders below it are not targets.
            apart_from: Mounts that don't count.
        """
        if access.mode is not AccessMode.SINGLE_NODE_SINGLE_WRITER:
            return
        others = [
            str(mount.target)
            for mount in self._mounts.of(device)
            if mount.target not in apart_from and (mount.is_block or mount.root == root)
        ]
        if others:
            raise WrongState(
                f"volume {volume_id}: it is for a single writer, and already published at "
                f"{', '.join(others)}"
            )

    def _prove(
        self,
        volume_id: VolumeId,
        device: DeviceNumber,
        target: Path,
        flags: frozenset[str] | None,
        deadline: Deadline,
    ) -> None:
        """Raise HostError unless the target shows the device and that is the volume's (D2, S28).

        A bound device node shows the disk that has its number now, which can be another one.

        Args:
            flags: The flags that the mount must have, `None` for any.

        Raises:
            HostError: The target shows something else, and is unmounted again.
        """
        logs.step("verifying the mount at the target")
        layers = self._mounts.at(target)
        shown = layers[-1] if layers else None
        if shown is None or shown.device != device:
            wrong = f"didn't show its device {device}"
        elif not self._devices.is_volume(device, volume_id.uuid):
            wrong = f"showed device {device}, which is no longer its disk"
        elif flags is not None and shown.flags != flags:
            wrong = f"was mounted {_named(shown.flags)} instead of {_named(flags)}"
        else:
            return
        try:
            self._mounts.unmount(target, deadline)
        except WrongState as error:  # must not be final, as a mount is left (D5)
            raise HostError(str(error)) from error
        raise HostError(f"volume {volume_id}: {target} {wrong}; retry")


def _refuse_stale_targets(volume_id: VolumeId, device: BlockDevice, others: list[Mount]) -> None:
    """Raise WrongState if the pod of a disk that has left could reach this one (D2).

    Its target shows whichever disk has the number of the one that left.
    """
    if stale := [str(each.target) for each in others if has_been_removed(each.root)]:
        raise WrongState(
            f"volume {volume_id}: its device {device.path} has the number of a disk that has left "
            f"and is still published at {', '.join(stale)}, where a pod would reach this one; "
            "delete that pod first"
        )


def _named(flags: frozenset[str]) -> str:
    return ",".join(sorted(flags)) or "without flags"
