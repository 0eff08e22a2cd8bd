"""Make a file system on a disk, after proving that it is the right one and blank (D1)."""

from __future__ import annotations

import logging

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import ForeignContent, HostError
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.exclusive import holding_volume, wipe_start
from csi_exoblock.host.filesystems import Blank, Content, Filesystems, Foreign, Formatted
from csi_exoblock.host.history import History
from csi_exoblock.host.jobs import Jobs, Kind
from csi_exoblock.host.markers import Marker, Markers
from csi_exoblock.host.profiles import mkfs_command
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Age, Filesystem, VolumeId
from csi_exoblock.options import FormatPolicy, VolumeContext

log = logging.getLogger(__name__)


class Formatter:
    """Formats blank disks; no other part of the driver overwrites the content of a disk.

    Args:
        require_zeroed: Whether a disk counts as blank only if its edges are zeros.
    """

    def __init__(
        self,
        *,
        commands: Commands,
        jobs: Jobs,
        devices: Devices,
        filesystems: Filesystems,
        markers: Markers,
        history: History,
        metrics: Metrics,
        require_zeroed: bool,
    ) -> None:
        self._commands = commands
        self._jobs = jobs
        self._devices = devices
        self._filesystems = filesystems
        self._markers = markers
        self._history = history
        self._metrics = metrics
        self._require_zeroed = require_zeroed

    def prepare(
        self,
        volume_id: VolumeId,
        device: BlockDevice,
        filesystem: Filesystem,
        context: VolumeContext,
        deadline: Deadline,
        *,
        writing: bool,
    ) -> bool:
        """Make a file system if the disk is blank; return whether it was made now.

        Args:
            writing: Whether the volume is to be mounted for writing; else no disk is formatted.

        Raises:
            InvalidRequest: A format option isn't allowed.
            ForeignContent: The disk holds something else than was requested, or might hold data, or
                is blank and must not be formatted.
            OperationPending: Another process of the driver formats it, or the device is in use.
            HostError: The disk can't be read, or a prober or mkfs failed.
            DeadlineExceeded: The deadline came first; mkfs goes on.
        """
        self._markers.check_idle(volume_id)
        # The job proves that the disk is blank; it need not be proven twice if all is allowed.
        why_not = _why_forbidden(context, writing=writing)
        if (why_not or not self._filesystems.seems_blank(device, deadline)) and self._holds(
            filesystem, volume_id, device, context.age, deadline
        ):
            self._markers.clear(volume_id)
            return False
        context.options.check(filesystem)
        context.options.check_page_size()
        if why_not:
            reason, text = why_not
            self._refuse(f"volume {volume_id}: its disk is blank, and {text}", reason=reason)
        logs.step("formatting")
        self._format(volume_id, filesystem, context, deadline)
        return True

    def _holds(
        self,
        filesystem: Filesystem,
        volume_id: VolumeId,
        device: BlockDevice,
        age: Age | None,
        deadline: Deadline,
    ) -> bool:
        """Return whether the disk holds the file system; if not, it may be formatted.

        Raises:
            ForeignContent: It holds something else, or might hold data.
        """
        content = self._filesystems.probe(device, filesystem, deadline)
        match content:
            case Formatted(filesystem=found, unfinished=False) if found is filesystem:
                return True
            case Formatted(filesystem=found, unfinished=False):
                raise ForeignContent(
                    f"volume {volume_id}: its disk holds {found}, but {filesystem} was "
                    f"asked for; use a PV with fsType {found}"
                )
        self._check(volume_id, content, age)
        return False

    def _format(
        self,
        volume_id: VolumeId,
        filesystem: Filesystem,
        context: VolumeContext,
        deadline: Deadline,
    ) -> None:
        """Make a file system on the volume's whole disk; mkfs outlives the deadline (D10).

        All proofs are repeated here, right before mkfs, as the job can have waited for its turn.
        The volume's marker is locked before the first proof, so that no other process of the driver
        can prove or format the disk at the same time.

        Raises:
            OperationPending: Another process of the driver formats it, or a job is under way.
            ForeignContent: The disk holds data, or might hold data.
            HostError: The disk can't be read, or a prober or mkfs failed.
            DeadlineExceeded: The deadline came before mkfs ended.
        """
        self._jobs.run(
            f"volume {volume_id}",
            f"mkfs of {filesystem}",
            lambda: self._make(volume_id, filesystem, context),
            deadline,
            kind=Kind.FORMAT,
        )

    def give_up(self, volume_id: VolumeId) -> None:
        """Forget an mkfs that was interrupted: a pod gets the raw disk.

        Otherwise the pod's data would pass for what that mkfs left, and be overwritten (D1).

        Raises:
            OperationPending: Another process of the driver formats the disk.
            HostError: The marker can't be removed.
        """
        self._markers.clear(volume_id)

    def _check(self, volume_id: VolumeId, content: Content, age: Age | None) -> None:
        """Raise ForeignContent unless the disk may be formatted.

        Args:
            age: How old the volume was when it was attached, `None` if unknown.

        Raises:
            ForeignContent: The content is or might be somebody's data; the message has the remedy.
        """
        interrupted = self._markers.is_set(volume_id, age)
        match content:
            case Blank(zeroed=zeroed, is_noise=is_noise):
                if not zeroed and self._require_zeroed and not interrupted:
                    why = self._history.why_not_new(volume_id, age)
                    if is_noise and why is None:
                        log.info("disk reads as noise, as a new volume can")
                        return
                    kind = f"reads as noise, but {why}" if is_noise else "isn't zeroed"
                    self._refuse(
                        f"volume {volume_id}: its disk has no known signature but {kind}, so "
                        "it might hold data; if it holds none, fill its first 2 MiB and last 1 MiB "
                        "with zeros, or make a new volume",
                        reason="not-zeroed",
                    )
            case Formatted(filesystem=found, unfinished=True):
                if not interrupted:
                    self._refuse(
                        f"volume {volume_id}: its disk holds an unfinished {found}, perhaps a "
                        "copy under way; if it isn't needed, fill its first 2 MiB with zeros",
                        reason="unfinished",
                    )
            case Formatted(filesystem=found):
                self._refuse(f"volume {volume_id}: its disk holds {found}", reason="filesystem")
            case Foreign(what=what, way_out=way_out):
                remedy = f"; {way_out}" if way_out else ""
                self._refuse(
                    f"volume {volume_id}: its disk holds {what}, so it is neither mounted nor "
                    f"formatted{remedy}",
                    reason="foreign",
                )

    def _refuse(self, message: str, *, reason: str) -> None:
        """Count a refusal to format, and raise it.

        Raises:
            ForeignContent: Always.
        """
        self._metrics.format_refused.labels(reason).inc()
        raise ForeignContent(message)

    def _make(self, volume_id: VolumeId, filesystem: Filesystem, context: VolumeContext) -> None:
        with self._markers.locked(volume_id, context.age) as marker:
            logs.step("proving that the disk is blank")
            device = self._devices.present(volume_id.uuid)
            with holding_volume(self._devices, volume_id, device) as held:
                self._make_on(device, volume_id, filesystem, context, marker, held)
            logs.step("removing the formatting marker")
            marker.clear()
        log.info("disk formatted", extra={"filesystem": filesystem, "device": device.name})

    def _make_on(
        self,
        device: BlockDevice,
        volume_id: VolumeId,
        filesystem: Filesystem,
        context: VolumeContext,
        marker: Marker,
        held: int,
    ) -> None:
        content = self._filesystems.probe(device, filesystem)
        if isinstance(content, Formatted) and not content.unfinished:
            raise HostError(f"volume {volume_id}: its disk was formatted meanwhile; retry")
        self._check(volume_id, content, context.age)
        logs.step("setting the formatting marker")
        marker.set()
        self._history.remember(volume_id, context.age)
        if isinstance(content, Formatted):
            logs.step("wiping an unfinished file system")
            wipe_start(device)
        logs.step("making the file system")
        command = mkfs_command(filesystem, device.path, context.options)
        self._commands.run_to_its_end(*command, inherited=(marker.file, held))


def _why_forbidden(context: VolumeContext, *, writing: bool) -> tuple[str, str] | None:
    """Return why no disk of the volume is formatted, in a word and for people."""
    if context.format is FormatPolicy.NEVER or context.partition is not None:
        return "policy", (
            "the volume is never formatted, because it was restored, imported or made by hand; if "
            "it should be, recreate its PV with the attribute format: ifBlank"
        )
    if not writing:
        return "read-only", (
            "a volume that is mounted read-only is not formatted; mount it once for writing"
        )
    return None
