"""Find the attached device of a volume and prove that it is the right one (D2, S6)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, NotFound, WrongState
from csi_exoblock.host.block_devices import BlockDevice, BlockDevices, DeviceNumber
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.serials import Serials
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import HostTiming

log = logging.getLogger(__name__)

# virtio-blk carries this many characters of the volume's id.
_SERIAL_CHARACTERS = 20
# The beginning of a UUID; boot and local disks can have serials of other forms (S9).
_VOLUME_LIKE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]", re.ASCII)


def serial_of(volume_uuid: UUID) -> str:
    """Return the serial that a volume's disk reports."""
    return str(volume_uuid)[:_SERIAL_CHARACTERS]


class Devices:
    """Finds devices by the volume's id.

    The serial that the disk itself reports decides. The link that udev makes decides only for a
    device that has no such attribute at all: it isn't virtio, so nothing else tells its volume.
    """

    def __init__(
        self,
        *,
        link_dir: Path,
        timing: HostTiming,
        metrics: Metrics,
        sysfs: Path = Path("/sys"),
        dev: Path = Path("/dev"),
    ) -> None:
        self._link_dir = link_dir
        self._timing = timing
        self._metrics = metrics
        self._blocks = BlockDevices(sysfs=sysfs, dev=dev)
        self._serials = Serials(blocks=self._blocks.folder, timing=timing)
        self._scans = Workers[None](
            CallLimit(most_calls=1),
            patience_seconds=timing.pci_scan,
            only_informs=False,
            perhaps="the kernel may be removing a disk that hangs",
        )

    def find(self, volume_uuid: UUID, deadline: Deadline) -> BlockDevice:
        """Wait for the volume's device and return it.

        Raises:
            HostError: It did not show up in time, not even after a scan of the PCI bus, and perhaps
                is a disk that doesn't answer. If its link names such a disk, nothing is waited for.
            WrongState: Two disks claim to be this volume.
            DeadlineExceeded: The caller's time ended first.
        """
        patience = deadline.within(self._timing.device_wait)
        device, suspects = self.search(volume_uuid)
        while device is None and patience.remaining():
            if self._linked(serial_of(volume_uuid)) in suspects:  # it is here, and hangs (S26)
                _refuse(volume_uuid, suspects)
            deadline.wait(min(self._timing.device_poll, patience.remaining()))
            device, suspects = self.search(volume_uuid)
        if device is None:
            self._scan()
            deadline.wait(self._timing.device_poll)
            device, suspects = self.search(volume_uuid)
        _refuse(volume_uuid, suspects)
        device = device or self._absent(volume_uuid)
        if not self._serials.has_one(device.name):
            log.info("device has no serial, its link decided", extra={"device": device.name})
        return device

    def _scan(self) -> None:
        """Scan the PCI bus, but don't wait for a kernel that is stuck with another disk (S26)."""
        try:
            self._scans.run("the scan of the PCI bus", self._blocks.scan_pci)
        except HostError as error:
            log.warning("the PCI bus was not scanned", extra={"error": str(error)})

    def present(self, volume_uuid: UUID) -> BlockDevice:
        """Return the volume's device, which must have been found before.

        Raises:
            HostError: It is gone, or doesn't answer.
            WrongState: Two disks claim to be this volume.
        """
        return self.find_now(volume_uuid) or self._absent(volume_uuid)

    def find_now(self, volume_uuid: UUID) -> BlockDevice | None:
        """Return the volume's device, `None` unless it is there now.

        Raises:
            HostError: A disk that might be the volume's doesn't answer.
            WrongState: Two disks claim to be this volume.
        """
        device, suspects = self.search(volume_uuid)
        _refuse(volume_uuid, suspects)
        return device

    def search(self, volume_uuid: UUID) -> tuple[BlockDevice | None, tuple[str, ...]]:
        """Return the volume's device if it is there now, else the disks that might be it.

        A disk might be the volume's if it doesn't report its serial and no link calls it another
        volume.

        Raises:
            WrongState: Two disks claim to be this volume.
        """
        serial = serial_of(volume_uuid)
        linked = self._linked(serial)
        serials = self._serials.of_all()
        names = [name for name, found in serials.items() if found == serial]
        if len(names) > 1:
            raise WrongState(
                f"volume {volume_uuid}: the disks {', '.join(sorted(names))} all have its serial "
                f"{serial}; detach the wrong one"
            )
        if names:
            if linked != names[0]:
                self._metrics.device_link_repaired.inc()
                log.warning(
                    "link absent or wrong, the serial decides",
                    extra={"device": names[0], "linked_device": linked},
                )
            return self._blocks.describe(names[0]), ()
        if linked is not None and self._has_no_serial(linked):
            return self._blocks.describe(linked), ()
        silent = {name for name, found in serials.items() if found is None}
        if silent:  # udev made each link from a serial that the disk reported earlier
            silent -= set(self._links().values()) - {linked}
        return None, tuple(sorted(silent))

    def silent(self) -> Mapping[str, str]:
        """Return the disks that don't report their serial, each with that of its link or nothing.

        Every disk is asked, and waited for. A disk that answers without a serial is silent if a
        link calls it a volume, as it must have reported one earlier.
        """
        linked = {name: serial for serial, name in self._links().items()}
        return {
            name: linked.get(name, "")
            for name, serial in sorted(self._serials.of_all().items())
            if serial is None or (serial == "" and name in linked)
        }

    def named(self, name: str) -> BlockDevice:
        """Return the device that has this name now.

        Raises:
            HostError: There is none, or it has no size.
        """
        if (device := self._blocks.describe(name)) is None:
            raise HostError(f"device {name} is gone, or has no size yet")
        return device

    def refuse_unreadable(self, volume_uuid: UUID) -> None:
        """Raise HostError if a link names the volume's disk but the disk reports no serial (D4).

        The kernel shows an empty serial if the disk didn't answer; the disk can still be there.
        """
        linked = self._linked(serial_of(volume_uuid))
        if linked is not None and self._serials.of(linked) == "":
            raise HostError(
                f"volume {volume_uuid}: the disk {linked}, which its link names, doesn't report "
                "its serial; it might be hung or about to leave; Kubernetes will retry"
            )

    def nameless(self, number: DeviceNumber) -> BlockDevice | None:
        """Return the disk that has this number, or whose part has it, if nothing tells its volume.

        Its serial is empty, with which virtio shows an error too, and no link calls it a volume.
        """
        disk = self._blocks.disk_of(number)
        try:
            if disk is None or self._serials.of(disk) != "" or disk in self._links().values():
                return None
        except HostError:  # it doesn't answer
            return None
        return self._blocks.describe(disk)

    def volumes(self) -> tuple[tuple[str, BlockDevice], ...]:
        """Return the disks that look like volumes, each with its serial or that of its link.

        Waits for no disk (S26).
        """
        serials = {name: self._serials.so_far(name) for name in self._serials.names()}
        found = {
            name: serial for name, serial in serials.items() if _VOLUME_LIKE.fullmatch(serial or "")
        }
        found |= {
            linked: serial
            for serial, linked in self._links().items()
            if serials.get(linked) is None and not self._blocks.is_partition(linked)
        }
        described = (
            (serial, self._blocks.describe(name)) for name, serial in sorted(found.items())
        )
        return tuple((serial or "", disk) for serial, disk in described if disk is not None)

    def partition(self, disk: BlockDevice, number: int) -> BlockDevice:
        """Return a partition of a disk.

        Raises:
            NotFound: The disk has no such partition.
        """
        for name in self._blocks.partitions(disk):
            written = self._blocks.attribute(disk, name, "partition")
            if written == str(number) and (found := self._blocks.describe(name)):
                return found
        raise NotFound(f"disk {disk.name} has no partition {number}")

    def numbers(self, disk: BlockDevice) -> frozenset[DeviceNumber]:
        """Return the numbers of a disk and of all its partitions."""
        names = self._blocks.partitions(disk)
        written = (self._blocks.attribute(disk, name, "dev") for name in names)
        return frozenset({disk.number, *map(DeviceNumber.parse, filter(None, written))})

    def is_there(self, number: DeviceNumber) -> bool:
        """Return whether a device has this number now."""
        return self._blocks.is_there(number)

    def at(self, number: DeviceNumber) -> BlockDevice:
        """Return the device that has this number now.

        Raises:
            HostError: There is none.
        """
        device = self._blocks.describe(self._blocks.name_of(number))
        if device is None or device.number != number:
            raise HostError(f"device {number} is gone")
        return device

    def is_volume(self, number: DeviceNumber, volume_uuid: UUID) -> bool:
        """Return whether the device with this number, or the disk it is a part of, is the volume.

        Only this disk is asked: `find` found it earlier, and it has been mounted since.

        Raises:
            HostError: The disk doesn't answer, and never did.
        """
        disk = self._blocks.disk_of(number)
        if disk is None:
            return False
        own, wanted = self._serials.of(disk), serial_of(volume_uuid)
        return own == wanted if own is not None else self._linked(wanted) == disk

    def belongs_to_another(self, number: DeviceNumber, volume_uuid: UUID) -> bool:
        """Return whether the disk that has this number now reports another volume's serial."""
        try:
            serial = self._serials.of(self._blocks.name_of(number))
        except HostError:  # it reports nothing
            return False
        return serial not in (None, "", serial_of(volume_uuid))

    def _linked(self, serial: str) -> str | None:
        try:
            return Path(os.readlink(self._link_dir / f"virtio-{serial}")).name
        except OSError as error:
            refuse_exhausted(error)
            return None

    def _links(self) -> Mapping[str, str]:
        """Return the names of the disks that links call volumes, by serial."""
        serials = (link.name.removeprefix("virtio-") for link in self._link_dir.glob("virtio-*"))
        found = {each: self._linked(each) for each in serials if _VOLUME_LIKE.fullmatch(each)}
        return {serial: name for serial, name in found.items() if name is not None}

    def _has_no_serial(self, name: str) -> bool:
        # A partition has no serial either, but a link to a disk never names a partition.
        return not self._serials.has_one(name) and not self._blocks.is_partition(name)

    def _absent(self, volume_uuid: UUID) -> BlockDevice:
        serials = map(self._serials.so_far, self._serials.names())
        present = ", ".join(sorted(filter(None, serials))) or "none"
        raise HostError(
            f"volume {volume_uuid}: its disk is not there, although the volume is attached; "
            f"serials present: {present[:300]}; the node keeps looking"
        )


def _refuse(volume_uuid: UUID, suspects: tuple[str, ...]) -> None:
    """Raise HostError if there are disks that might be the volume's and don't answer."""
    if suspects:
        raise HostError(
            f"volume {volume_uuid}: the disk {', '.join(suspects)}, which might be its own, "
            "doesn't answer; Kubernetes will retry"
        )
