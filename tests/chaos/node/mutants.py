"""Nodes that are broken on purpose, from outside the package: the harness must see each.

Each does what a driver of this kind is known to have done wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from csi_exoblock.concurrency import Deadline
from csi_exoblock.host import checking, filesystems, markers
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.exclusive import holding
from csi_exoblock.host.filesystems import Blank, Content, Filesystems
from csi_exoblock.host.formatting import Formatter
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.mounts import Mount, Mounts
from csi_exoblock.host.serials import Serials
from csi_exoblock.host.thawing import Thawing
from csi_exoblock.model import Filesystem, VolumeId
from csi_exoblock.node.frozen import Frozen
from csi_exoblock.node.publishing import Publishing
from csi_exoblock.node.release import Release
from csi_exoblock.node.repair import Repair
from csi_exoblock.node.staging import Staging

_SERIAL_CHARACTERS = 20
_NOTHING_FOUND = 2


def format_on_exit_2_alone() -> None:
    """Take a disk for blank when blkid ends with 2, as it does on one that can't be read (D1)."""
    original = Filesystems.probe

    def probe(
        self: Filesystems,
        device: BlockDevice,
        wanted: Filesystem,
        deadline: Deadline | None = None,
    ) -> Content:
        answer = self._commands.run("blkid", "-p", str(device.path), allowed=range(256))
        if answer.exit_code == _NOTHING_FOUND:
            return Blank(zeroed=True)
        return original(self, device, wanted, deadline)

    Filesystems.probe = probe  # type: ignore[method-assign]
    Formatter._check = lambda *_: None  # type: ignore[method-assign]


def trust_the_link() -> None:
    """Believe udev's link, whatever the disk itself says (D2)."""

    def find_now(self: Devices, volume_uuid: UUID) -> BlockDevice | None:
        linked = self._linked(str(volume_uuid)[:_SERIAL_CHARACTERS])
        return self._blocks.describe(linked) if linked else None

    Devices.find_now = find_now  # type: ignore[method-assign]


def compare_mounts_by_path() -> None:
    """Take whatever is mounted at the path for the volume (D4, S14)."""

    def staging_mount(self: Repair, disk: Any, path: Path) -> Mount | None:
        layers = self._mounts.at(path)
        return layers[-1] if layers else None

    def is_staged(self: Staging, volume_id: Any, device: Any, path: Path, *_: Any) -> bool:
        return bool(self._mounts.at(path))

    Staging._is_staged = is_staged  # type: ignore[method-assign, assignment] # the rest is no matter
    Repair._staging_mount = staging_mount  # type: ignore[method-assign]


def unstage_by_device_presence() -> None:
    """Think that what has no device any more has no mount either (D4)."""
    original = Release.release

    def release(self: Release, volume_id: VolumeId, path: Path, deadline: Deadline) -> None:
        if self._devices.find_now(volume_id.uuid) is not None:
            original(self, volume_id, path, deadline)

    Release.release = release  # type: ignore[method-assign]


def lazy_unmount() -> None:
    """Unmount what is in use, for those who don't have it open yet (D6)."""

    def unmount(self: Mounts, path: Path, deadline: Deadline) -> None:
        while self.at(path):
            self._commands.run("umount", "--lazy", str(path))

    Mounts.unmount = unmount  # type: ignore[method-assign]


def ask_for_exclusive_claims_alone() -> None:
    """Think that a disk is free when nobody claims it, though it may be open (D4)."""
    Holders.of_device = lambda *_, **__: ()  # type: ignore[method-assign]


def leave_it_frozen() -> None:
    """Know nothing of file systems that were frozen when their last mount went (D13)."""
    Thawing.thaw = lambda *_: False  # type: ignore[method-assign]


def leave_a_growth_hanging() -> None:
    """Know nothing of commands that hang on a file system while it is frozen (D13)."""
    Frozen.let_commands_end = lambda *_: None  # type: ignore[method-assign]


def bind_read_only_as_mount_does() -> None:
    """Make a bind mount read-only and believe that it keeps its other flags (S28)."""
    original = Publishing._prove

    def bind(self: Mounts, source: Path, path: Path, flags: frozenset[str] = frozenset()) -> None:
        self._commands.run("mount", "-o", "bind,ro" if flags else "bind", str(source), str(path))

    def prove(self: Publishing, *known: Any) -> None:
        volume_id, device, target, _, deadline = known
        original(self, volume_id, device, target, None, deadline)

    Mounts.bind = bind  # type: ignore[method-assign]
    Publishing._prove = prove  # type: ignore[method-assign, assignment] # as they are given


def know_nothing_of_other_drivers() -> None:
    """Format without a lock between the processes of a driver that is upgraded (D1, D10)."""
    markers._lock = lambda *_: None


def believe_what_was_proven_before_a_wait() -> None:
    """Work on whatever disk has the name by the time that the job has its turn (D2)."""

    def holding_volume(devices: Devices, volume_id: VolumeId, device: BlockDevice) -> Any:
        return holding(device)

    checking.holding_volume = holding_volume  # type: ignore[attr-defined]


def ask_every_disk_in_the_call() -> None:
    """Read the serials of all disks in the call's own thread, and wait for each (S26)."""

    def of(self: Serials, name: str) -> str | None:
        path = self._blocks / name / "serial"
        return path.read_text().strip() if path.exists() else None

    Serials.of = of  # type: ignore[method-assign]
    Serials.so_far = of  # type: ignore[method-assign]


def believe_every_trace() -> None:
    """Refuse a file system in which a prober sees anything else, though it is a file's (D15)."""
    filesystems.extent_of = lambda *_: None  # type: ignore[attr-defined]


MUTANTS: Mapping[str, Callable[[], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        format_on_exit_2_alone,
        trust_the_link,
        compare_mounts_by_path,
        unstage_by_device_presence,
        lazy_unmount,
        ask_for_exclusive_claims_alone,
        leave_it_frozen,
        leave_a_growth_hanging,
        bind_read_only_as_mount_does,
        know_nothing_of_other_drivers,
        believe_what_was_proven_before_a_wait,
        ask_every_disk_in_the_call,
        believe_every_trace,
    )
}
