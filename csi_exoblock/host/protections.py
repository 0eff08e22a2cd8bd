"""Write-protect a disk for pods that get it raw, and lift that after the last of them (D7, F15)."""

from __future__ import annotations

import logging

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.host.devices import BlockDevice, DeviceNumber, Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.mounts import Mounts
from csi_exoblock.host.notes import Notes
from csi_exoblock.model import VolumeId

log = logging.getLogger(__name__)


class Protections:
    """The write protection of whole disks, which the kernel keeps for as long as they are there.

    One that this driver has set is noted before. One that somebody else has set stays when the
    volume leaves its pods.
    """

    def __init__(
        self, *, notes: Notes, devices: Devices, mounts: Mounts, disk_calls: DiskCalls
    ) -> None:
        self._notes = notes
        self._devices = devices
        self._mounts = mounts
        self._disk_calls = disk_calls

    def is_set(self, device: BlockDevice, deadline: Deadline) -> bool:
        """Tell whether the device refuses writes.

        Raises:
            HostError: It can't be asked, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        return self._disk_calls.is_read_only(device, deadline)

    def set(self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline) -> None:
        """Make the device refuse writes, for all who have it open.

        Raises:
            HostError: It can't be noted or set, so nobody may get the device.
            DeadlineExceeded: The call's time ended first.
        """
        try:
            self._notes.write(volume_id, device.number, str(device.sequence))
        except OSError as error:
            raise HostError(
                f"volume {volume_id}: that its device is made read-only can't be noted: {error}"
            ) from error
        self._disk_calls.set_read_only(device, True, deadline)

    def clear(self, volume_id: VolumeId, device: BlockDevice, deadline: Deadline) -> None:
        """Let the device take writes again, also if somebody else protected it.

        Raises:
            HostError: It can't be set.
            DeadlineExceeded: The call's time ended first.
        """
        self._disk_calls.set_read_only(device, False, deadline)
        self._notes.remove(volume_id)

    def lift(self, volume_id: VolumeId, deadline: Deadline) -> None:
        """Clear the protection that this driver has set, once nobody has the device any more.

        What can't be cleared now is tried again when the volume leaves: nobody waits for that.
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
