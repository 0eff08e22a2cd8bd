"""The doctor's checks of a node's disks: links, unknown disks, file systems (N11)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from csi_exoblock.app.inspection import InspectedHost
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DriverError, NotFound
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.devices import serial_of
from csi_exoblock.host.holders import listed
from csi_exoblock.host.mounts import Mount
from csi_exoblock.model import Filesystem, VolumeId
from csi_exoblock.tools.doctor import Check, Finding, not_checked, well, wrong
from csi_exoblock.tools.doctor_host import NO_NODE

_LINK = "virtio-"
_FILESYSTEMS = frozenset(each.value for each in Filesystem)
_TRIGGER = "udevadm trigger; the driver goes by the serial, other programs might not"
_RESTAGE = "delete the pods that use it on this node; it is then checked and mounted again"


class DiskChecks:
    """Checks the disks of volumes, and writes to none.

    Each disk is asked for its serial once: one that hangs keeps every question waiting.
    """

    def __init__(self, host: InspectedHost) -> None:
        self._host = host

    def all(self) -> list[Check]:
        """Return the checks."""
        return [
            Check("disks", self._disks),
            Check("links", self._links),
            Check("unknown disks", self._unknown_disks),
            Check("file systems", self._filesystems),
        ]

    def _disks(self) -> Iterator[Finding]:
        silent, volumes = self._found
        for name, linked in silent.items():
            volume = f" of volume {linked}…" if linked else ""
            yield wrong(
                "disks",
                f"disk {name}{volume} does not report its serial; it might hang",
                "drain this node and stop its instance, see ExoblockLockTooOld in docs/runbooks.md",
            )
        for (serial, first), (other, second) in pairwise(volumes):  # they are sorted by serial
            if serial == other:
                yield wrong(
                    "disks",
                    f"disks {first.name} and {second.name} have the same serial {serial}",
                    "detach the wrong one: neither is mounted until then",
                )
        yield well("disks", f"{len(volumes)} volumes are attached")

    def _links(self) -> Iterator[Finding]:
        serials = {disk.name: serial for serial, disk in self._volumes}
        names = {serial: name for name, serial in serials.items()}
        folder = self._host.settings.device_dir
        for link in sorted(folder.glob(f"{_LINK}*")):
            try:
                serial, name = link.name.removeprefix(_LINK), Path(os.readlink(link)).name
            except OSError as error:
                yield wrong("links", f"{link} can't be read: {error.strerror}", _TRIGGER)
                continue
            if names.get(serial, name) != name or serials.get(name, serial) != serial:
                actual = names.get(serial, "absent")
                yield wrong(
                    "links",
                    f"{link} leads to {name}, but the disk with serial {serial} is {actual}",
                    _TRIGGER,
                )
        yield well("links", f"the links in {folder} were compared with the disks' serials")

    def _unknown_disks(self) -> Iterator[Finding]:
        if not self._host.node.is_known:
            yield not_checked("unknown disks", NO_NODE)
            return
        disks = dict(self._volumes)
        unknown = self._unknown()
        if unknown:  # Kubernetes can list a volume a moment after its disk has appeared
            Deadline(self._host.timing.status_timeout).wait(self._host.timing.attachments_grace)
            unknown &= self._unknown()
        for serial in sorted(unknown & disks.keys()):
            yield self._of_unknown(serial, disks[serial])
        yield well("unknown disks", "the attached volumes were compared with Kubernetes' Node")

    def _of_unknown(self, serial: str, disk: BlockDevice) -> Finding:
        which = f"disk {disk.name}, volume {serial}…, is unknown to Kubernetes on this node"
        # What the node itself has mounted, such as its images, is outside of kubelet's folder.
        if users := self._host.holders.of_device(self._host.devices.numbers(disk), skip_hung=True):
            return well("unknown disks", f"{which}, and in use by {listed(users)}")
        return wrong(
            "unknown disks",
            f"{which}, and takes one of its places for volumes",
            "if nobody uses it, detach it: exo compute block-storage detach",
        )

    def _unknown(self) -> set[str]:
        """Return the serials of volumes that no pod uses here and Kubernetes does not list."""
        unused = self._host.occupancy.unused()
        return {*unused} - {*_serials(self._host.node.volumes(of_any_driver=True))}

    def _filesystems(self) -> Iterator[Finding]:
        mounted = self._mounted()
        for name, mount in mounted.items():
            yield from self._of_filesystem(name, mount)
        for mount in self._host.mounts.below(self._host.settings.kubelet_path):
            if mount.filesystem in _FILESYSTEMS and self._has_left(mount):
                yield wrong(
                    "file systems", f"{mount.target} is mounted, but its disk has left", _RESTAGE
                )
        yield well("file systems", f"{len(mounted)} mounted file systems were checked")

    def _of_filesystem(self, name: str, mount: Mount) -> Iterator[Finding]:
        where = f"{name}, mounted at {mount.target}"
        try:
            trouble = self._host.liveness.why_unusable(mount, writing=not mount.read_only)
        except DriverError as error:
            yield wrong("file systems", f"{where}: {error}", _RESTAGE)
            return
        if trouble:
            yield wrong("file systems", f"{where}: {trouble}", _RESTAGE)
        elif mount.device and (
            errors := self._host.liveness.recorded_errors(self._host.devices.at(mount.device))
        ):
            yield wrong("file systems", f"{where}: it has counted {errors} errors", _RESTAGE)

    def _has_left(self, mount: Mount) -> bool:
        return mount.device is None or not self._host.devices.is_there(mount.device)

    def _mounted(self) -> Mapping[str, Mount]:
        """Return a mount of each volume's file systems by the device's name, writable if any is."""
        mounts = (
            mount
            for _, disk in self._volumes
            for number in self._host.devices.numbers(disk)
            for mount in self._host.mounts.of(number)
            if not mount.is_block and mount.device
        )
        # A later one with the same name replaces an earlier one.
        by_writing = sorted(mounts, key=lambda mount: not mount.read_only)
        return {
            self._host.devices.at(mount.device).name: mount for mount in by_writing if mount.device
        }

    @property
    def _volumes(self) -> tuple[tuple[str, BlockDevice], ...]:
        """The disks of volumes with their serials, sorted by serial."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[Mapping[str, str], tuple[tuple[str, BlockDevice], ...]]:
        """The disks that do not report their serial, and those of volumes, each with a serial.

        For the former it is that of the link, if there is one.
        """
        silent, volumes = self._host.disks()
        return silent, tuple(sorted(volumes, key=lambda each: (each[0], each[1].name)))


def _serials(handles: frozenset[str]) -> Iterator[str]:
    for handle in handles:
        try:
            yield serial_of(VolumeId.parse(handle).uuid)
        except NotFound:  # the id of no volume, so this driver can't have attached it
            continue
