"""Expanding a volume in the cloud: now, or before it is attached the next time (S7, N1, N2)."""

from __future__ import annotations

import logging
from typing import NoReturn

from csi_exoblock import logs
from csi_exoblock.capacity import CapacityRange, gib_ceil
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ControllerSettings
from csi_exoblock.controller.growth_notes import GrowthNotes
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.quotas import (
    GIBIBYTES,
    above_largest,
    exceeded,
    read_quotas,
    size_within_limits,
)
from csi_exoblock.controller.reading import VolumeReader, require_present
from csi_exoblock.controller.refusals import lasting, refused
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    NotFound,
    OperationPending,
    SizeOutOfRange,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Volume, VolumeId
from csi_exoblock.states import VOLUME_BUSY, InstanceState, VolumeState
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class Expansion:
    """Expands volumes, which the cloud allows only while no running instance has them.

    A volume in use gets a note instead, and the process that attaches it next resizes it first.
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        reader: VolumeReader,
        labels: Labels,
        notes: GrowthNotes,
        settings: ControllerSettings,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._labels = labels
        self._notes = notes
        self._settings = settings
        self._timing = timing

    def expand(self, volume_id: VolumeId, wanted: CapacityRange, deadline: Deadline) -> int:
        """Make the volume at least as large as wanted and return its size in GiB.

        Raises:
            NotFound: The volume does not exist, or is being deleted.
            SizeOutOfRange: It is larger than the limit already, or can't become so large.
            WrongState: A running instance has it; it grows before it is attached the next time.
                Or it is in state error, or another cluster's.
        """
        deadline = deadline.within(self._timing.create_timeout)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            volume = self._reader.read(volume_id, entry, deadline)
            require_present(volume)
            self._labels.require_own(volume)
            if volume.size_gib < gib_ceil(wanted.required_bytes):
                volume = self._expand(volume, wanted, entry, deadline)
            # The request is granted, so a note asks for more than the user now wants.
            self._notes.withdraw(volume, deadline)
            if not wanted.allows(volume.size_gib):
                raise SizeOutOfRange(
                    f"volume {volume_id} has {volume.size_gib} GiB, more than the limit of "
                    f"{wanted.limit_bytes} bytes; volumes can't shrink"
                )
            return volume.size_gib

    def resize_as_noted(self, volume: Volume, entry: Entry, deadline: Deadline) -> None:
        """Resize a detached volume as an earlier expand asked, before it is attached.

        A failure is logged and does not hold the attach: the resizer repeats its request. The note
        on another cluster's volume is left to that cluster (D12).
        """
        if self._labels.pending_size(volume.labels) is None:
            return
        if self._labels.other_cluster_of(volume):
            log.warning("pending growth left: the volume is another cluster's")
            return
        if size_gib := self._notes.size_due(volume):
            self._try_to_resize(volume, size_gib, entry, deadline)
        elif self._notes.is_from_the_future(volume):
            log.warning("pending growth left: its time is in the future")
            return
        self._notes.remove(volume, deadline)

    def _try_to_resize(
        self, volume: Volume, size_gib: int, entry: Entry, deadline: Deadline
    ) -> None:
        if size_gib <= volume.size_gib:
            return
        try:
            self._resize(volume, size_gib, entry, deadline)
        except DriverError as error:
            log.warning("pending growth failed", extra={"error": str(error)})

    def _expand(
        self, volume: Volume, wanted: CapacityRange, entry: Entry, deadline: Deadline
    ) -> Volume:
        client = self._cloud.zone(volume.id.zone)
        size_gib = size_within_limits(wanted, self._settings.size_limits, client, deadline)
        _require_healthy(volume)
        if volume.attached_to and not self._is_stopped(volume, deadline):
            self._defer(volume, size_gib, deadline)
        return self._resize(volume, size_gib, entry, deadline)

    def _is_stopped(self, volume: Volume, deadline: Deadline) -> bool:
        """Return whether the instance that has the volume is stopped or gone (N2)."""
        if volume.attached_to is None:
            return True
        logs.step("asking whether the instance is stopped")
        client = self._cloud.zone(volume.attached_to.zone)
        try:
            instance = client.get_instance(volume.attached_to.uuid, deadline)
        except NotFound:
            return True
        return instance.state is InstanceState.STOPPED

    def _defer(self, volume: Volume, size_gib: int, deadline: Deadline) -> NoReturn:
        """Have the volume grow before it is attached the next time.

        Raises:
            WrongState: Always; the message says what the user can do.
        """
        instance = volume.attached_to.uuid if volume.attached_to else "an instance"
        what = f"volume {volume.id} can't grow to {size_gib} GiB while instance {instance} has it"
        if not self._settings.deferred_expansion:
            raise WrongState(f"{what}; stop the pods that use it, and it grows")
        self._notes.write(volume, size_gib, deadline)
        raise WrongState(f"{what}; stop or replace the pods that use it, and it grows")

    def _resize(self, volume: Volume, size_gib: int, entry: Entry, deadline: Deadline) -> Volume:
        """Resize the volume and return it, once it is seen to have the size."""
        _require_idle(volume)
        client = self._cloud.zone(volume.id.zone)
        logs.step("resizing the volume")
        try:
            with entry.sending(shown_by=lambda seen: seen.size_gib >= size_gib):
                resized = client.resize_volume(volume.id.uuid, size_gib, deadline)
        except (ApiRejected, ApiDenied) as error:
            return self._require_resized(error, volume, size_gib, deadline)
        if resized.size_gib < size_gib:
            resized = client.get_volume(volume.id.uuid, deadline)
        if resized.size_gib < size_gib:
            raise ApiUnavailable(
                f"volume {volume.id} still has {resized.size_gib} GiB after a resize to {size_gib}"
            )
        log.info("volume resized", extra={"size_gib": resized.size_gib})
        return resized

    def _require_resized(
        self,
        error: ApiRejected | ApiDenied,
        volume: Volume,
        size_gib: int,
        deadline: Deadline,
    ) -> Volume:
        """Raise the reason of a refused resize, unless the volume is as large as wanted anyway.

        Raises:
            NotFound: It is being deleted by now.
            OperationPending: Something else is being done with it by now.
            WrongState: An instance runs with it by now; it grows before its next attach (N2).
                Or it is in state error.
            SizeOutOfRange: A quota is in the way.
            DriverError: The refusal itself, where nothing else explains it.
        """
        logs.step("asking why the volume was not resized")
        client = self._cloud.zone(volume.id.zone)
        seen = client.get_volume(volume.id.uuid, deadline)
        if seen.size_gib >= size_gib:
            return seen
        require_present(seen)
        _require_healthy(seen)
        _require_idle(seen)
        if seen.attached_to and not self._is_stopped(seen, deadline):
            self._defer(seen, size_gib, deadline)
        what = f"volume {volume.id} was not resized to {size_gib} GiB"
        quotas = read_quotas(client, deadline)
        more = {GIBIBYTES: size_gib - volume.size_gib}
        if limit := above_largest(quotas, size_gib) or exceeded(quotas, more):
            raise SizeOutOfRange(
                f"{what}: {limit}; ask for less or have the quota raised"
            ) from error
        raise lasting(refused(what, error)) from error


def _require_healthy(volume: Volume) -> None:
    """Raise WrongState unless the volume can ever grow."""
    if volume.state is VolumeState.ERROR:
        raise WrongState(
            f"volume {volume.id} is in state error and can't grow; ask Exoscale's support"
        )


def _require_idle(volume: Volume) -> None:
    """Raise OperationPending unless the cloud has ended its work on the volume."""
    if volume.state in VOLUME_BUSY:
        raise OperationPending(f"volume {volume.id} is {volume.state}; retry")
