"""Creating a volume: its one POST, the end of the operation, and the reason of a refusal (C1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ControllerSettings
from csi_exoblock.controller.creations import Creations, volume_kind
from csi_exoblock.controller.label_check import LabelCheck
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
from csi_exoblock.model import Operation, Snapshot, SnapshotId, Volume, VolumeId, ZoneName
from csi_exoblock.states import OperationState, SnapshotState
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolume:
    """A volume that a POST has created.

    Attributes:
        is_complete: Whether it surely has the size and the labels that were sent. If not, it is to
            be read, and completed.
    """

    volume: CreatedVolume
    is_complete: bool


class VolumeCreation:
    """Sends creations of volumes, and follows each until there is a usable volume or none."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        labels: Labels,
        settings: ControllerSettings,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._creations = Creations(
            volume_kind(cloud), cloud=cloud, ledger=ledger, labels=labels, timing=timing
        )
        self._labels = labels
        self._settings = settings
        self._label_check = LabelCheck(cloud=cloud, labels=labels)

    def create(
        self,
        spec: VolumeSpec,
        zone: ZoneName,
        snapshot_id: SnapshotId | None,
        entry: Entry,
        deadline: Deadline,
    ) -> NewVolume:
        """Send the creation and return the volume.

        A restore is never complete before it was read: it can come out smaller than asked for (S8).

        Args:
            snapshot_id: The snapshot whose content the volume gets, `None` for a blank volume.
            entry: The name's; it keeps the volume until it is complete.

        Raises:
            SizeOutOfRange: No size satisfies the range, the source and the limits.
            LimitReached: A quota is exhausted.
            NotFound: The source does not exist.
            OperationPending: The source is not ready yet.
            ApiUnavailable: How the creation ends is not known yet.
        """
        client = self._cloud.zone(zone)
        source = _restorable(snapshot_id, client, deadline)
        source_gib = source.volume_size_gib if source else 0
        size_gib = size_within_limits(
            spec.size, self._settings.size_limits, client, deadline, source_gib=source_gib
        )
        send = partial(
            client.create_volume,
            name=spec.visible_name,
            labels=self._labels.of_volume(spec),
            snapshot_id=snapshot_id.uuid if snapshot_id else None,
            deadline=deadline,
        )
        logs.step("creating the volume")
        entry.zone = zone
        try:
            ended = self._ledger.send(entry, partial(send, size_gib=size_gib), deadline)
        except (ApiRejected, ApiDenied) as error:
            reason = _why_refused(error, spec, snapshot_id, size_gib, client, deadline)
            smaller = None
            if isinstance(reason, ApiRejected) and 0 < source_gib < size_gib:
                smaller = self._restore_smaller(partial(send, size_gib=source_gib), entry, deadline)
            if smaller is None:
                raise self._final_unless_there(reason, spec, client, deadline) from error
            ended = smaller
        volume_id = self._id_of(ended, spec, entry, deadline)
        is_complete = not spec.source and self._label_check.has_labels(volume_id, deadline)
        if is_complete:
            entry.created = None
        log.info("volume created", extra={"volume": volume_id, "size_gib": size_gib})
        volume = CreatedVolume(id=volume_id, size_gib=size_gib)
        return NewVolume(volume=volume, is_complete=is_complete)

    def resume(
        self, spec: VolumeSpec, zone: ZoneName, entry: Entry, deadline: Deadline
    ) -> Volume | None:
        """Return the volume that an earlier call began to create, `None` if there is none.

        Raises:
            DriverError: Its creation failed and nothing is left of it; the reason says why.
            ApiUnavailable: How the creation ends is not known yet.
        """
        what = _what(spec, zone)
        return self._creations.resume(spec, what, partial(failed, what), entry, deadline)

    def _id_of(
        self, ended: Operation, spec: VolumeSpec, entry: Entry, deadline: Deadline
    ) -> VolumeId:
        """Return the id of the volume that an ended operation created; raise as `resume` does."""
        if ended.state is OperationState.SUCCESS and ended.reference:
            volume_id = VolumeId(ended.zone, ended.reference)
        else:
            what = _what(spec, ended.zone)
            explain = partial(failed, what)
            volume_id = self._creations.conclude(ended, spec, what, explain, entry, deadline).id
        entry.remember_created(volume_id)
        return volume_id

    def _final_unless_there(
        self, refusal: DriverError, spec: VolumeSpec, client: ZoneClient, deadline: Deadline
    ) -> DriverError:
        """Return a conflict that nothing explains as a lasting one, unless the name is there (S4).

        Where names are unique, another process has created the volume: a retry finds it (D11).
        """
        final = lasting(refusal)
        if final is refusal:
            return refusal
        names = self._labels.names_for(spec)
        if any(names & self._labels.names_of(each) for each in client.list_volumes(deadline)):
            return OperationPending(f"{refusal}; a volume of that name has appeared; retry")
        return final

    def _restore_smaller(
        self, send: Callable[[], Operation], entry: Entry, deadline: Deadline
    ) -> Operation | None:
        """Restore in the size of the source, which may be the only one allowed; resize later (S8).

        Returns `None` if that is refused too: then the size was not the reason.
        """
        logs.step("creating the volume as large as its source")
        try:
            return self._ledger.send(entry, send, deadline)
        except (ApiRejected, ApiDenied):
            return None


def _restorable(
    snapshot_id: SnapshotId | None, client: ZoneClient, deadline: Deadline
) -> Snapshot | None:
    """Return the snapshot to restore from, once it can be."""
    if snapshot_id is None:
        return None
    logs.step("reading the source")
    snapshot = client.get_snapshot(snapshot_id.uuid, deadline)
    _require_restorable(snapshot)
    return snapshot


def _require_restorable(snapshot: Snapshot) -> None:
    """Raise unless a volume can be created from the snapshot in its present state (S18)."""
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
    """Return why a creation was refused: what the source's state and the quotas explain."""
    what = f"volume {spec.name!r} of {size_gib} GiB was not created in zone {client.zone}"
    source = _restorable(snapshot_id, client, deadline)  # it can have changed since it was read
    quotas = read_quotas(client, deadline)
    if limit := above_largest(quotas, size_gib):
        return SizeOutOfRange(f"{what}: {limit}")
    if limit := exceeded(quotas, {VOLUMES: 1, GIBIBYTES: size_gib}):
        return LimitReached(f"{what}: {limit}; delete volumes or have the quota raised")
    is_conflict = isinstance(error, ApiRejected) and error.http_status == HTTPStatus.CONFLICT
    if source and source.state is SnapshotState.PROMOTING and is_conflict:
        return OperationPending(f"{what} while another is restored from its source: {error}; retry")
    return refused(what, error)
