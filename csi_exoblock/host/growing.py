"""Grow a file system to the size of its device (S8)."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import CommandFailed, DriverError
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.checking import EXT, Checker
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.exclusive import holding_volume
from csi_exoblock.host.jobs import Jobs, Kind
from csi_exoblock.host.sizes import btrfs_device_of, mounted_size_bytes
from csi_exoblock.model import Filesystem, VolumeId

log = logging.getLogger(__name__)

# Larger than any block of the driver's file systems, so less room than this can't be used.
_ROOM_BYTES = 64 * 1024

# The exit code of resize2fs for every failure, and the words with which it says that the kernel
# doesn't grow the file system while it is mounted. Source: e2fsprogs, resize/online.c.
_FAILED = 1
_REFUSAL = re.compile(
    r"Permission denied to resize|Operation not permitted|Operation not supported"
    r"|does not support (online resiz|resizing)"
)


class Grower:
    """Grows file systems; a growth that has begun outlives its call (D10)."""

    def __init__(
        self,
        *,
        commands: Commands,
        jobs: Jobs,
        devices: Devices,
        checker: Checker,
        disk_calls: DiskCalls,
    ) -> None:
        self._commands = commands
        self._disk_calls = disk_calls
        self._jobs = jobs
        self._devices = devices
        self._checker = checker
        self._failures: dict[VolumeId, str] = {}

    def failure_of(self, volume_id: VolumeId) -> str | None:
        """Return why the volume's last growth failed, `None` if it did not fail (N7)."""
        return self._failures.get(volume_id)

    def grow_mounted(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        filesystem: Filesystem,
        path: Path,
        deadline: Deadline,
    ) -> str | None:
        """Grow a mounted file system unless it fills its device; return why the kernel refuses.

        Only ext can refuse: its kernel code demands CAP_SYS_RESOURCE, which containers can lack,
        and knows formats that grow only while they aren't mounted.

        Returns:
            The words of the refusal, `None` if the file system fills its device now.

        Raises:
            HostError: The disk was replaced, or growing failed or was killed.
            DeadlineExceeded: The deadline came first.
        """
        filled_bytes = self._disk_calls.run(
            device, lambda: mounted_size_bytes(filesystem, path, device), deadline
        )
        if device.size_bytes - filled_bytes < _ROOM_BYTES:
            self._failures.pop(volume_id, None)
            return None

        def work() -> str | None:
            proven = holding_volume(self._devices, volume_id, device)
            with self._remembering(volume_id), proven as held:
                return self._grow(filesystem, device, path, held)

        refusal = self._jobs.run(f"volume {volume_id}", f"growing {filesystem}", work, deadline)
        if refusal is None:
            log.info("mounted file system grown", extra={"device": device.name})
        else:
            log.info(
                "kernel refuses to grow a mounted file system",
                extra={"device": device.name, "error": refusal},
            )
        return refusal

    def grow_unmounted(self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline) -> None:
        """Check an ext file system fully and grow it while it isn't mounted.

        A file system with features that e2fsck doesn't know isn't grown: its pod gets it as it is,
        and the volume's health says why.

        Raises:
            WrongState: The check left errors.
            HostError: The disk was replaced, or a command failed or was killed.
            DeadlineExceeded: The deadline came first.
        """

        def work() -> None:
            proven = holding_volume(self._devices, volume_id, device)
            with self._remembering(volume_id), proven as held:
                checked = self._checker.check_now(volume_id, device, held, fully=True)
                if checked:
                    logs.step("growing the unmounted file system")
                    self._commands.run_to_its_end("resize2fs", str(device.path), inherited=(held,))
            if checked:
                log.info("unmounted file system grown", extra={"device": device.name})
            else:
                self._failures[volume_id] = "e2fsck can't check it, so it isn't grown"

        self._jobs.run(f"volume {volume_id}", "growing ext", work, deadline, kind=Kind.CHECK)

    def _grow(
        self, filesystem: Filesystem, device: BlockDevice, path: Path, held: int
    ) -> str | None:
        """Return why the kernel refuses, `None` if the file system has grown.

        Raises:
            CommandFailed: It failed for another reason, such as another resize2fs at work.
        """
        argv = _command(filesystem, device, path)
        allowed = (0, _FAILED) if filesystem in EXT else (0,)
        ended = self._commands.run_to_its_end(*argv, allowed=allowed, inherited=(held,))
        if ended.exit_code == 0:
            return None
        if _REFUSAL.search(ended.complaint):
            return ended.complaint
        raise CommandFailed(f"{shlex.join(argv)} failed: {ended.complaint}")

    @contextmanager
    def _remembering(self, volume_id: VolumeId) -> Iterator[None]:
        """Remember why the block failed, until a growth of this volume succeeds."""
        try:
            yield
        except DriverError as error:
            self._failures[volume_id] = str(error)
            raise
        self._failures.pop(volume_id, None)


def _command(filesystem: Filesystem, device: BlockDevice, path: Path) -> tuple[str, ...]:
    match filesystem:
        case Filesystem.XFS:
            return ("xfs_growfs", str(path))
        case Filesystem.BTRFS:
            return ("btrfs", "filesystem", "resize", f"{btrfs_device_of(device)}:max", str(path))
        case Filesystem.EXT4 | Filesystem.EXT3:
            return ("resize2fs", str(device.path))
