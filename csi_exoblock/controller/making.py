"""Making a volume: the one POST, the end of its operation, and what a failed one leaves (C1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ControllerSettings
from csi_exoblock.controller.keeping import LabelKeeping
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Entry, Ledger
from csi_exoblock.controller.quotas import (
    GIBIBYTES,
    VOLUMES,
    above_largest,
    exceeded,
    read_quotas,
    size_within_limits,
)
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.refusals import failed, refused
from csi_exoblock.controller.specs import CreatedVolume, VolumeSpec
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    LimitReached,
    NotFound,
    OperationPending,
    SizeOutOfRange,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud, ZoneClient
from csi_exoblock.model import (
    Operation,
    OperationState,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
    ZoneName,
)

log = logging.getLogger(__name__)

_ON_THE_WAY = (VolumeState.CREATING, VolumeState.DELETING)
"""States of a creation's volume that tell nothing yet; what a failed one left may be going."""


class VolumeMaker:
    """Sends creations, and sees each through to a usable volume or to nothing at all."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        reader: VolumeReader,
        labels: Labels,
        settings: ControllerSettings,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._labels = labels
        self._settings = settings
        self._keeping = LabelKeeping(cloud=cloud, labels=labels)

    def make(
        self,
        spec: VolumeSpec,
        zone: ZoneName,
        snapshot_id: SnapshotId | None,
        entry: Entry,
        deadline: Deadline,
    ) -> CreatedVolume:
        """Create the volume.

        One with a source is to be taken up next, to see its true size (S8); so are those of a zone
        that was not yet seen to keep the labels of a create (C4).

        Args:
            snapshot_id: Whose content the volume gets, if it gets any.

        Raises:
            SizeOutOfRange: No size satisfies the range, the source and the limits.
            LimitReached: A quota is exhausted.
            NotFound: The source does not exist.
            OperationPending: The source is not ready yet.
            ApiUnavailable: What became of the volume is not known yet.
        """
        client = self._cloud.zone(zone)
        source_gib = _source_gib(snapshot_id, client, deadline)
        size_gib = size_within_limits(
            spec.size, self._settings.size_limits, client, deadline, source_gib=source_gib
        )
        create = partial(
            client.create_volume,
            name=spec.visible_name,
            labels=self._labels.of_volume(spec),
            snapshot_id=snapshot_id.uuid if snapshot_id else None,
            deadline=deadline,
        )
        logs.step("creating the volume")
        entry.zone = zone
        try:
            ended = self._ledger.send(entry, partial(create, size_gib=size_gib), deadline)
        except (ApiRejected, ApiDenied) as error:
            reason = _why_refused(error, spec, size_gib, client, deadline)
            if not (isinstance(reason, ApiRejected) and 0 < source_gib < size_gib):
                raise reason from error
            create = partial(create, size_gib=source_gib)
            ended = self._restore_as_it_was(create, entry, reason, deadline)
        if ended.state is OperationState.SUCCESS and ended.reference:
            volume_id = VolumeId(zone, ended.reference)
        else:
            volume_id = self._conclude(ended, spec, zone, entry, deadline).id
        entry.created = volume_id
        if not spec.source and self._keeping.has_labels(volume_id, deadline):
            entry.created = None
        log.info("volume created", extra={"volume": volume_id, "size_gib": size_gib})
        return CreatedVolume(id=volume_id, size_gib=size_gib)

    def take_up(
        self, spec: VolumeSpec, zone: ZoneName, entry: Entry, deadline: Deadline
    ) -> Volume | None:
        """Return the volume that an earlier call began to make, `None` if none did or none is left.

        Raises:
            DriverError: Its creation failed and nothing is left of it; the reason says why.
            ApiUnavailable: What became of it is not known yet.
        """
        if ended := self._ledger.join(entry, deadline):
            return self._conclude(ended, spec, zone, entry, deadline)
        return self._outcome(entry, deadline)

    def _restore_as_it_was(
        self,
        create: Callable[[], Operation],
        entry: Entry,
        reason: ApiRejected,
        deadline: Deadline,
    ) -> Operation:
        """Restore in the size of the source what may not start larger; it is resized next (S8)."""
        logs.step("creating the volume as large as its source")
        try:
            return self._ledger.send(entry, create, deadline)
        except (ApiRejected, ApiDenied):
            raise reason from None

    def _conclude(
        self,
        ended: Operation,
        spec: VolumeSpec,
        zone: ZoneName,
        entry: Entry,
        deadline: Deadline,
    ) -> Volume:
        what = f"volume {spec.name!r} was not created in zone {zone}"
        if ended.reference:
            entry.created = VolumeId(zone, ended.reference)
        if volume := self._outcome(entry, deadline):
            return volume
        if ended.state is OperationState.FAILURE:
            raise failed(what, ended)
        entry.lose()
        raise ApiUnavailable(f"{what}: operation {ended.id} ended in {ended.state}; a retry looks")

    def _outcome(self, entry: Entry, deadline: Deadline) -> Volume | None:
        """Return the volume that a creation named, `None` once there is none.

        One that came out unusable was never attached and nobody else knows of it: it is deleted.
        """
        if not isinstance(entry.created, VolumeId):
            return None
        logs.step("judging a creation by its volume")
        client = self._cloud.zone(entry.created.zone)
        volume: Volume | None
        try:
            volume = client.get_volume(entry.created.uuid, deadline)
            volume = self._reader.leave(volume, _ON_THE_WAY, deadline)
            if volume.state is VolumeState.ERROR and volume.attached_to is None:
                delete = partial(client.delete_volume, volume.id.uuid, deadline)
                self._ledger.discard(volume, delete, entry, deadline)
                volume = None
        except NotFound:
            volume = None
        entry.created = None
        if volume and volume.state is VolumeState.DELETED:
            volume = None
        return volume


def _source_gib(snapshot_id: SnapshotId | None, client: ZoneClient, deadline: Deadline) -> int:
    if snapshot_id is None:
        return 0
    logs.step("reading the source")
    snapshot = client.get_snapshot(snapshot_id.uuid, deadline)
    _require_restorable(snapshot)
    return snapshot.volume_size_gib


def _require_restorable(snapshot: Snapshot) -> None:
    if snapshot.state in (SnapshotState.ALLOCATED, SnapshotState.CREATING):
        raise OperationPending(f"snapshot {snapshot.id} is {snapshot.state}: not ready to restore")
    if snapshot.state not in (SnapshotState.CREATED, SnapshotState.PROMOTING):
        raise WrongState(f"snapshot {snapshot.id} is {snapshot.state}: it can't be restored")


def _why_refused(
    error: ApiRejected | ApiDenied,
    spec: VolumeSpec,
    size_gib: int,
    client: ZoneClient,
    deadline: Deadline,
) -> DriverError:
    what = f"volume {spec.name!r} of {size_gib} GiB was not created in zone {client.zone}"
    quotas = read_quotas(client, deadline)
    if limit := above_largest(quotas, size_gib):
        return SizeOutOfRange(f"{what}: {limit}")
    if limit := exceeded(quotas, {VOLUMES: 1, GIBIBYTES: size_gib}):
        return LimitReached(f"{what}: {limit}; delete volumes or have the quota raised")
    return refused(what, error)
