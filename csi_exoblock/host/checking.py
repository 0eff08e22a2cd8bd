"""Check a file system before it is mounted: carefully, never half, never by force (D8)."""

from __future__ import annotations

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import WrongState
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import BlockDevice
from csi_exoblock.host.jobs import Jobs
from csi_exoblock.model import Filesystem, VolumeId

EXT = frozenset({Filesystem.EXT4, Filesystem.EXT3})

# e2fsck's exit code is a sum: 1 errors corrected, 2 restart advised, 4 errors left uncorrected,
# 8 operational error and so on. Only up to here did e2fsck itself speak; 126 is a shell's.
_ERRORS_LEFT = 4
_SPOKEN = range(16)


class Checker:
    """Checks ext file systems; xfs and btrfs replay their log when they are mounted instead."""

    def __init__(self, *, commands: Commands, jobs: Jobs) -> None:
        self._commands = commands
        self._jobs = jobs

    def check(
        self, volume_id: VolumeId, device: BlockDevice, filesystem: Filesystem, deadline: Deadline
    ) -> None:
        """Let the file system's own check correct what is safe to correct; it outlives the call.

        Raises:
            WrongState: Errors are left that a person must decide about.
            CommandFailed: The check could not be made.
            DeadlineExceeded: The deadline came first.
        """
        if filesystem in EXT:
            self._jobs.run(
                f"volume {volume_id}",
                "e2fsck",
                lambda: self.check_now(volume_id, device),
                deadline,
                heavy=True,
            )

    def check_now(self, volume_id: VolumeId, device: BlockDevice, *, fully: bool = False) -> None:
        """Check an ext file system inside a job; fully also where it is said to be clean.

        Raises:
            WrongState: Errors are left that a person must decide about.
            CommandFailed: The check could not be made.
        """
        logs.step("stage: checking the file system")
        full = ("-f",) if fully else ()
        ended = self._commands.run_to_its_end(
            *("e2fsck", *full, "-p", str(device.path)),
            allowed=[code for code in _SPOKEN if code < _ERRORS_LEFT or code & _ERRORS_LEFT],
        )
        if ended.exit_code & _ERRORS_LEFT:
            raise WrongState(
                f"volume {volume_id}: e2fsck left errors that it doesn't correct by itself: "
                f"{ended.complaint}. {how_to_repair(volume_id, 'e2fsck -f')}"
            )


def how_to_repair(volume_id: VolumeId, command: str) -> str:
    """Say what a person can do with a file system that no longer mounts."""
    return (
        f"Take a snapshot of volume {volume_id.uuid} first, then stop its pods, attach it to an "
        f"instance and run {command} on it"
    )
