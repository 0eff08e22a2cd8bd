"""Making a volume: the one POST, the end of its operation, and what a failed one leaves (C1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ControllerSettings, Timing
from csi_exoblock.controller.creations import Creations, volume_kind
from csi_exoblock.controller.keeping import LabelKeeping
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.quotas import (
    GIBIBYTES,
    VOLUMES,
    above_largest,
    exceeded,
    read_quotas,
    size_within_limits,
)
from csi_exoblock.controller.refusals import failed, lasting, refused
from csi_exoblock.controller.specs import CreatedVolume, VolumeSpec
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
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
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
    ZoneName,
)
from csi_exoblock.states import OperationState, SnapshotState

log = logging.getLogger(__name__)


class VolumeMaker:
    """Sends creations, and sees each through to a usable volume or to nothing at all."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        labels: Labels,
        settings: ControllerSettings,
        timing: Timing,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._creations = Creations(volume_kind(cloud), cloud=cloud, ledger=ledger, timing=timing)
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
        source = _restorable(snapshot_id, client, deadline)
        source_gib = source.volume_size_gib if source else 0
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
            reason = _why_refused(error, spec, snapshot_id, size_gib, client, deadline)
            smaller = None
            if isinstance(reason, ApiRejected) and 0 < source_gib < size_gib:
                restore = partial(create, size_gib=source_gib)
                smaller = self._restore_as_it_was(restore, entry, deadline)
            if smaller is None:
                raise self._unless_there(reason, spec, client, deadline) from error
            ended = smaller
        if ended.state is OperationState.SUCCESS and ended.reference:
            volume_id = VolumeId(zone, ended.reference)
        else:
            what = _what(spec, zone)
            explain = partial(failed, what)
            volume_id = self._creations.conclude(ended, what, explain, entry, deadline).id
        entry.remember_created(volume_id)
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
        what = _what(spec, zone)
        return self._creations.take_up(what, partial(failed, what), entry, deadline)

    def _unless_there(
        self, refusal: DriverError, spec: VolumeSpec, client: ZoneClient, deadline: Deadline
    ) -> DriverError:
        """Return a conflict that nothing explains as a lasting one, unless the name is there (S4).

        Where names are unique, another process has made the volume: a retry finds it (D11).
        """
        final = lasting(refusal)
        if final is refusal:
            return refusal
        names = self._labels.names_for(spec)
        if any(names & self._labels.names_of(each) for each in client.list_volumes(deadline)):
            return OperationPending(f"{refusal}; a volume of that name has appeared; retry")
        return final

    def _restore_as_it_was(
        self, create: Callable[[], Operation], entry: Entry, deadline: Deadline
    ) -> Operation | None:
        """Restore in the size of the source what may not start larger; it is resized next (S8).

        Returns `None` where that is refused too: then the size was not the reason.
        """
        logs.step("creating the volume as large as its source")
        try:
            return self._ledger.send(entry, create, deadline)
        except (ApiRejected, ApiDenied):
            return None


def _restorable(
    snapshot_id: SnapshotId | None, client: ZoneClient, deadline: Deadline
) -> Snapshot | None:
    if snapshot_id is None:
        return None
    logs.step("reading the source")
    snapshot = client.get_snapshot(snapshot_id.uuid, deadline)
    _require_restorable(snapshot)
    return snapshot


def _require_restorable(snapshot: Snapshot) -> None:
    """Raise unless a volume can be made from the snapshot as it now is (S18)."""
    if snapshot.is_ready:
        return
    what = f"snapshot {snapshot.id} is {snapshot.state}"
    if snapshot.is_broken:
        raise WrongState(f"{what}: it can't be restored; delete it and take another")
    if snapshot.state in (SnapshotState.DESTROYING, SnapshotState.DESTROYED):
        raise NotFound(f"{what}: it can't be restored any more")
    raise OperationPending(f"{what}: not ready to restore; retry")


def _what(spec: VolumeSpec, zone: ZoneName) -> str:
    return f"volume {spec.name!r} was not created in zone {zone}"


def _why_refused(
    error: ApiRejected | ApiDenied,
    spec: VolumeSpec,
    snapshot_id: SnapshotId | None,
    size_gib: int,
    client: ZoneClient,
    deadline: Deadline,
) -> DriverError:
    what = f"volume {spec.name!r} of {size_gib} GiB was not created in zone {client.zone}"
    source = _restorable(snapshot_id, client, deadline)  # may have changed since it was read
    quotas = read_quotas(client, deadline)
    if limit := above_largest(quotas, size_gib):
        return SizeOutOfRange(f"{what}: {limit}")
    if limit := exceeded(quotas, {VOLUMES: 1, GIBIBYTES: size_gib}):
        return LimitReached(f"{what}: {limit}; delete volumes or have the quota raised")
    is_conflict = isinstance(error, ApiRejected) and error.http_status == HTTPStatus.CONFLICT
    if source and source.state is SnapshotState.PROMOTING and is_conflict:
        return OperationPending(f"{what} while another is restored from its source: {error}; retry")
    return refused(what, error)
