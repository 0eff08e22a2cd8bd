"""Check an ext file system before it is mounted; no check is cut short or forced (D8)."""

from __future__ import annotations

import logging
import time

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import CommandFailed, WrongState
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.exclusive import alone_with, holding_volume, read_direct
from csi_exoblock.host.jobs import Jobs, Kind
from csi_exoblock.host.superblocks import has_recorded_errors, needs_check
from csi_exoblock.model import Filesystem, VolumeId

log = logging.getLogger(__name__)

EXT = frozenset({Filesystem.EXT4, Filesystem.EXT3})

# e2fsck's exit code is a sum: 1 errors corrected, 2 restart advised, 4 errors left uncorrected,
# 8 could not check, and so on. Codes from 16 on are not e2fsck's own; 126 is a shell's. It ends
# with 12 on a file system with features that it doesn't know: then 4 means nothing, because it has
# not looked for errors. It ends with 8 as well if the disk is in use or can't be read, or if there
# is too little memory.
_ERRORS_LEFT = 4
_NOT_CHECKED = 8
_OWN_CODES = range(16)
_UNKNOWN_FEATURES = "unsupported feature"

# Includes the superblock, which begins at byte 1024; a multiple of every sector size.
_HEAD_BYTES = 4096


class Checker:
    """Checks ext file systems; xfs and btrfs need no check, as mounting replays their log."""

    def __init__(
        self, *, commands: Commands, jobs: Jobs, devices: Devices, disk_calls: DiskCalls
    ) -> None:
        self._commands = commands
        self._disk_calls = disk_calls
        self._jobs = jobs
        self._devices = devices

    def check(
        self, volume_id: VolumeId, device: BlockDevice, filesystem: Filesystem, deadline: Deadline
    ) -> None:
        """Run e2fsck on a file system unless its superblock is in order; e2fsck outlives the call.

        e2fsck corrects only errors that are safe to correct. If it can't check the file system at
        all, the kernel decides whether it mounts. But the kernel mounts one in which it has found
        errors, and writes on: that one waits until e2fsck can check it.

        Raises:
            WrongState: Errors are left that a person must decide about.
            OperationPending: The device is in use.
            HostError: The device can't be read or was replaced, or e2fsck was killed or is absent,
                or stopped before it had corrected the errors that the kernel found.
            DeadlineExceeded: The deadline came first.
        """
        if filesystem not in EXT:
            return
        head = self._head(device, deadline)
        if not needs_check(head, now=time.time()):
            return

        def work() -> None:
            with holding_volume(self._devices, volume_id, device) as held:
                self.check_now(volume_id, device, held, demanded=has_recorded_errors(head))

        self._jobs.run(f"volume {volume_id}", "e2fsck", work, deadline, kind=Kind.CHECK)

    def check_now(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        held: int,
        *,
        fully: bool = False,
        demanded: bool = False,
    ) -> bool:
        """Check an ext file system inside a job, and return whether e2fsck could check it.

        Args:
            held: The device's open file, which keeps its number from going to another disk.
            fully: Whether to check even a file system that is marked clean, as growing requires.
            demanded: Whether it may not be mounted unchecked.

        Raises:
            WrongState: Errors are left that a person must decide about.
            CommandFailed: e2fsck was killed or is absent. With `fully` or `demanded` also if it
                stopped for another reason than features that it doesn't know.
        """
        logs.step("checking the file system")
        full = ("-f",) if fully else ()
        ended = self._commands.run_to_its_end(
            *("e2fsck", *full, "-p", str(device.path)),
            allowed=_OWN_CODES,
            inherited=(held,),
            gently=True,
        )
        # It says on stdout what is wrong, and on stderr only that it gives up.
        if ended.exit_code & _NOT_CHECKED:
            if (fully or demanded) and _UNKNOWN_FEATURES not in ended.report:
                # A retry can get further. If it were mounted now, the file system would stay too
                # small, or faulty, until its pod leaves.
                raise CommandFailed(f"e2fsck on {device.name} stopped: {ended.report}")
            log.warning(
                "e2fsck can't check the file system, so the kernel decides whether it mounts",
                extra={"device": device.name, "reason": ended.report},
            )
            return False
        if ended.exit_code & _ERRORS_LEFT:
            raise WrongState(
                f"volume {volume_id}: e2fsck left errors that it doesn't correct by itself: "
                f"{ended.report}. {how_to_repair(volume_id, 'e2fsck -f')}"
            )
        return True

    def _head(self, device: BlockDevice, deadline: Deadline) -> bytes:
        def read() -> bytes:
            with alone_with(device) as file:
                return bytes(read_direct(file, 0, _HEAD_BYTES))

        return self._disk_calls.run(device, read, deadline)


def how_to_repair(volume_id: VolumeId, command: str) -> str:
    """Return the steps by which a person can repair a file system that no longer mounts."""
    return (
        f"Take a snapshot of volume {volume_id.uuid} first, then stop its pods, attach it to an "
        f"instance and run {command} on it"
    )
