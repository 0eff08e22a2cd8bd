"""The write protection of raw disks: set for pods that only read, lifted after them (D7, F15)."""

from __future__ import annotations

import logging

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice, DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.mounts import Mounts
from csi_exoblock.host.notes import Notes
from csi_exoblock.model import VolumeId

log = logging.getLogger(__name__)


class Protections:
    """The write protection of whole disks, which the kernel keeps until the disk leaves.

    The driver notes each protection before it sets it, and later lifts only those that it noted: a
    protection that somebody else set stays.
    """

    def __init__(
        self, *, notes: Notes, devices: Devices, mounts: Mounts, disk_calls: DiskCalls
    ) -> None:
        self._notes = notes
        self._devices = devices
        self._mounts = mounts
        self._disk_calls = disk_calls

    def is_set(self, device: BlockDevice, deadline: Deadline) -> bool:
        """Return whether the device refuses writes.

        Raises:
            HostError: It can't be asked, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        return self._disk_calls.is_read_only(device, deadline)

    def set(self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline) -> None:
        """Make the device refuse writes, for every process that has it open.

        Raises:
            HostError: It can't be noted or set, so no pod may get the device.
            DeadlineExceeded: The call's time ended first.
        """
        try:
            self._notes.write(volume_id, device.number, str(device.sequence))
        except OSError as error:
            raise HostError(
                f"volume {volume_id}: no note can be made that its device is read-only: {error}"
            ) from error
        self._disk_calls.set_read_only(device, True, deadline)

    def clear(self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline) -> None:
        """Let the device accept writes again, even if somebody else protected it.

        Raises:
            HostError: It can't be set.
            DeadlineExceeded: The call's time ended first.
        """
        self._disk_calls.set_read_only(device, False, deadline)
        self._notes.remove(volume_id)

    def lift(self, volume_id: VolumeId, deadline: Deadline) -> None:
        """Clear the protection that the driver noted, unless the device is still mounted somewhere.

        A failure is only logged: the volume's next unpublish or unstage tries again.
        """
        try:
            if noted := self._notes.read(volume_id):
                self._lift(volume_id, *noted, deadline)
        except HostError as error:
            log.warning("write protection stays for now", extra={"error": str(error)})

    def _lift(
        self, volume_id: VolumeId, number: DeviceNumber, sequence: str, deadline: Deadline
    ) -> None:
        if self._mounts.of(number):
            return
        if self._devices.is_volume(number, volume_id.uuid):
            device = self._devices.at(number)
            if str(device.sequence) == sequence:
                self.clear(volume_id, device, deadline)
                log.info("write protection lifted", extra={"device": device.name})
                return
        self._notes.remove(volume_id)  # the disk has left, and its protection with it
