"""Expanding a volume in the cloud, which works only while no running instance has it (S7)."""

from __future__ import annotations

import logging

from csi_exoblock import logs
from csi_exoblock.capacity import CapacityRange, choose_size_gib
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ControllerSettings, Timing
from csi_exoblock.controller.ledger import Entry, Ledger
from csi_exoblock.controller.quotas import GIBIBYTES, exceeded, read_quotas
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.refusals import refused
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    OperationPending,
    SizeOutOfRange,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Volume, VolumeId, VolumeState

log = logging.getLogger(__name__)

_RESIZABLE = (VolumeState.DETACHED, VolumeState.ATTACHED)


class Growth:
    """Expands volumes."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        reader: VolumeReader,
        settings: ControllerSettings,
        timing: Timing,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._settings = settings
        self._timing = timing

    def expand(self, volume_id: VolumeId, wanted: CapacityRange, deadline: Deadline) -> int:
        """Make the volume at least as large as wanted and return its size in GiB.

        Raises:
            NotFound: The volume does not exist.
            SizeOutOfRange: It is larger than the limit already, or can't become so large.
            WrongState: It is attached, so it can't be resized now.
        """
        deadline = deadline.within(self._timing.create_timeout)
        size_gib = choose_size_gib(wanted, self._settings.size_limits)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            volume = self._reader.read(volume_id, entry, deadline)
            if volume.size_gib < size_gib:
                volume = self._resize(volume, size_gib, entry, deadline)
            if not wanted.allows(volume.size_gib):
                raise SizeOutOfRange(
                    f"volume {volume_id} has {volume.size_gib} GiB, more than the limit of "
                    f"{wanted.limit_bytes} bytes; volumes can't shrink"
                )
            return volume.size_gib

    def _resize(self, volume: Volume, size_gib: int, entry: Entry, deadline: Deadline) -> Volume:
        if volume.state not in _RESIZABLE:
            raise OperationPending(f"volume {volume.id} is {volume.state}; retry")
        if volume.attached_to:
            raise WrongState(
                f"volume {volume.id} can't grow to {size_gib} GiB while instance "
                f"{volume.attached_to.uuid} has it; stop the pods that use it, and it grows"
            )
        client = self._cloud.zone(volume.id.zone)
        logs.step("resizing the volume")
        try:
            with entry.sending(shown_by=lambda seen: seen.size_gib >= size_gib):
                resized = client.resize_volume(volume.id.uuid, size_gib, deadline)
        except (ApiRejected, ApiDenied) as error:
            raise self._why_refused(error, volume, size_gib, deadline) from error
        if resized.size_gib < size_gib:
            resized = client.get_volume(volume.id.uuid, deadline)
        if resized.size_gib < size_gib:
            raise ApiUnavailable(
                f"volume {volume.id} still has {resized.size_gib} GiB after a resize to {size_gib}"
            )
        log.info("volume resized", extra={"size_gib": resized.size_gib})
        return resized

    def _why_refused(
        self, error: ApiRejected | ApiDenied, volume: Volume, size_gib: int, deadline: Deadline
    ) -> DriverError:
        what = f"volume {volume.id} was not resized to {size_gib} GiB"
        client = self._cloud.zone(volume.id.zone)
        seen = client.get_volume(volume.id.uuid, deadline)
        if seen.attached_to:
            return WrongState(f"{what}: instance {seen.attached_to.uuid} has it now; {error}")
        more = {GIBIBYTES: size_gib - volume.size_gib}
        if limit := exceeded(read_quotas(client, deadline), more):
            return SizeOutOfRange(f"{what}: {limit}; ask for less or have the quota raised")
        return refused(what, error)
