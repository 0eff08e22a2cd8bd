"""Expanding a volume in the cloud: now, or before it is attached the next time (S7, N1, N2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import NoReturn

from csi_exoblock import logs
from csi_exoblock.capacity import CapacityRange
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ControllerSettings, Timing
from csi_exoblock.controller.labels import Labels, PendingSize
from csi_exoblock.controller.ledger import Entry, Ledger
from csi_exoblock.controller.quotas import (
    GIBIBYTES,
    above_largest,
    exceeded,
    read_quotas,
    size_within_limits,
)
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.refusals import refused
from csi_exoblock.controller.relabelling import LabelWriter
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
from csi_exoblock.model import InstanceState, Volume, VolumeId, VolumeState

log = logging.getLogger(__name__)

_RESIZABLE = (VolumeState.DETACHED, VolumeState.ATTACHED)


class Growth:
    """Expands volumes, which the cloud allows only while no running instance has them.

    A volume in use gets a label instead that says what was asked for, so that whichever process
    attaches it next resizes it first: attacher and resizer may lead in different replicas (F16).
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        reader: VolumeReader,
        labels: Labels,
        writer: LabelWriter,
        settings: ControllerSettings,
        timing: Timing,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._labels = labels
        self._writer = writer
        self._settings = settings
        self._timing = timing

    def expand(self, volume_id: VolumeId, wanted: CapacityRange, deadline: Deadline) -> int:
        """Make the volume at least as large as wanted and return its size in GiB.

        Raises:
            NotFound: The volume does not exist.
            SizeOutOfRange: It is larger than the limit already, or can't become so large.
            WrongState: A running instance has it; it grows before it is attached the next time.
        """
        deadline = deadline.within(self._timing.create_timeout)
        client = self._cloud.zone(volume_id.zone)
        size_gib = size_within_limits(wanted, self._settings.size_limits, client, deadline)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            volume = self._reader.read(volume_id, entry, deadline)
            if volume.size_gib >= size_gib:
                self._forget(volume, entry, deadline)
            elif volume.attached_to and not self._is_stopped(volume, deadline):
                self._defer(volume, size_gib, entry, deadline)
            else:
                volume = self._resize(volume, size_gib, entry, deadline)
            if not wanted.allows(volume.size_gib):
                raise SizeOutOfRange(
                    f"volume {volume_id} has {volume.size_gib} GiB, more than the limit of "
                    f"{wanted.limit_bytes} bytes; volumes can't shrink"
                )
            return volume.size_gib

    def catch_up(self, volume: Volume, entry: Entry, deadline: Deadline) -> None:
        """Grow a detached volume as an earlier expand asked, before it is attached.

        A failure is logged and hinders nothing: the resizer goes on asking.
        """
        pending = self._labels.pending_size(volume.labels)
        if pending is None:
            return
        recent = pending.seconds() < self._timing.pending_growth_ttl
        if recent and pending.size_gib > volume.size_gib:
            try:
                self._resize(volume, pending.size_gib, entry, deadline)
            except DriverError as error:
                log.warning("deferred growth failed", extra={"error": str(error)})
        self._forget(volume, entry, deadline)

    def _is_stopped(self, volume: Volume, deadline: Deadline) -> bool:
        """Tell whether the instance that has the volume is stopped or gone (N2)."""
        if volume.attached_to is None:
            return True
        logs.step("asking whether the instance is stopped")
        client = self._cloud.zone(volume.attached_to.zone)
        try:
            instance = client.get_instance(volume.attached_to.uuid, deadline)
        except NotFound:
            return True
        return instance.state is InstanceState.STOPPED

    def _defer(self, volume: Volume, size_gib: int, entry: Entry, deadline: Deadline) -> NoReturn:
        """Have the volume grow before it is attached the next time.

        Raises:
            WrongState: Always; the message says what the user can do.
        """
        instance = volume.attached_to.uuid if volume.attached_to else "an instance"
        what = f"volume {volume.id} can't grow to {size_gib} GiB while instance {instance} has it"
        if not self._settings.deferred_expansion:
            raise WrongState(f"{what}; stop the pods that use it, and it grows")
        present = self._labels.pending_size(volume.labels)
        current = (
            present is not None
            and present.size_gib == size_gib
            and present.seconds() < self._timing.pending_growth_refresh
        )
        if not current:
            logs.step("noting the growth for the next attach")
            pending = PendingSize(size_gib=size_gib, since=int(time.time()))
            labels = self._labels.with_pending_size(volume.labels, pending)
            self._write_labels(volume, labels, entry, deadline)
        raise WrongState(f"{what}; stop or replace the pods that use it, and it grows")

    def _forget(self, volume: Volume, entry: Entry, deadline: Deadline) -> None:
        """Remove the note of a growth, if there is one."""
        if self._labels.pending_size(volume.labels) is None:
            return
        logs.step("removing the note of a growth")
        without = self._labels.without_pending_size(volume.labels)
        self._write_labels(volume, without, entry, deadline)

    def _write_labels(
        self, volume: Volume, labels: Mapping[str, str], entry: Entry, deadline: Deadline
    ) -> None:
        """Write the whole label map, if the API lets us.

        Nothing hangs on a label: without it the resizer's own retries finish the growth (N1).
        """
        try:
            self._writer.write(volume, labels, entry, deadline)
        except DriverError as error:
            log.warning("label of a pending growth not written", extra={"error": str(error)})

    def _resize(self, volume: Volume, size_gib: int, entry: Entry, deadline: Deadline) -> Volume:
        if volume.state not in _RESIZABLE:
            raise OperationPending(f"volume {volume.id} is {volume.state}; retry")
        client = self._cloud.zone(volume.id.zone)
        logs.step("resizing the volume")
        try:
            with entry.sending(shown_by=lambda seen: seen.size_gib >= size_gib):
                resized = client.resize_volume(volume.id.uuid, size_gib, deadline)
        except (ApiRejected, ApiDenied) as error:
            return self._look_again(error, volume, size_gib, entry, deadline)
        if resized.size_gib < size_gib:
            resized = client.get_volume(volume.id.uuid, deadline)
        if resized.size_gib < size_gib:
            raise ApiUnavailable(
                f"volume {volume.id} still has {resized.size_gib} GiB after a resize to {size_gib}"
            )
        log.info("volume resized", extra={"size_gib": resized.size_gib})
        return resized

    def _look_again(
        self,
        error: ApiRejected | ApiDenied,
        volume: Volume,
        size_gib: int,
        entry: Entry,
        deadline: Deadline,
    ) -> Volume:
        """Return the volume if it is as large as wanted though its resize was refused.

        Raises:
            WrongState: An instance runs with it by now; it grows before its next attach (N2).
            SizeOutOfRange: A quota is in the way.
            DriverError: The refusal itself, where nothing else explains it.
        """
        logs.step("asking why the volume was not resized")
        client = self._cloud.zone(volume.id.zone)
        seen = client.get_volume(volume.id.uuid, deadline)
        if seen.size_gib >= size_gib:
            return seen
        if seen.attached_to:
            self._defer(seen, size_gib, entry, deadline)
        what = f"volume {volume.id} was not resized to {size_gib} GiB"
        quotas = read_quotas(client, deadline)
        more = {GIBIBYTES: size_gib - volume.size_gib}
        if limit := above_largest(quotas, size_gib) or exceeded(quotas, more):
            raise SizeOutOfRange(
                f"{what}: {limit}; ask for less or have the quota raised"
            ) from error
        raise refused(what, error) from error
