"""Creating and deleting volumes: never one too many, never the wrong one (C1, D11, D12)."""

from __future__ import annotations

import logging
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.adoption import Adoption, the_only
from csi_exoblock.controller.clones import Clones
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.lookup import Lookup
from csi_exoblock.controller.making import VolumeMaker
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.placement import Placement, require_accessible
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.refusals import failed, refused
from csi_exoblock.controller.specs import CreatedVolume, VolumeSpec
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    InvalidRequest,
    NotFound,
    OperationPending,
    WrongState,
    WrongZone,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Volume, VolumeId, ZoneName
from csi_exoblock.states import OperationState, VolumeState

log = logging.getLogger(__name__)

_GOING = (VolumeState.DELETING, VolumeState.DELETED)
_PERHAPS_FOR_SNAPSHOTS = (ApiRejected, ApiDenied, OperationPending)
_BUSY = (VolumeState.CREATING, VolumeState.SNAPSHOTTING)
_IN_USE = (VolumeState.ATTACHING, VolumeState.ATTACHED, VolumeState.DETACHING)


class Volumes:
    """Creates and deletes volumes so that any call may be repeated, lost or killed at any point."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        lookup: Lookup[Volume],
        recent: RecentCreations,
        placement: Placement,
        maker: VolumeMaker,
        adoption: Adoption,
        clones: Clones,
        reader: VolumeReader,
        labels: Labels,
        timing: Timing,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._lookup = lookup
        self._recent = recent
        self._placement = placement
        self._maker = maker
        self._adoption = adoption
        self._clones = clones
        self._reader = reader
        self._labels = labels
        self._timing = timing

    def create(self, spec: VolumeSpec, deadline: Deadline) -> CreatedVolume:
        """Return the volume of that name; make it unless an earlier call did.

        Raises:
            InvalidRequest: No zone in scope is asked for.
            SizeOutOfRange: No size satisfies the range, the source and the limits.
            LimitReached: A quota is exhausted.
            WrongZone: The source, or the volume that exists, is in none of the zones.
            NotFound: The source does not exist.
            Mismatch: The name belongs to a volume that is not what the spec asks for.
            OperationPending: Another call works on the name, or the source is not ready.
        """
        deadline = deadline.within(self._timing.create_timeout)
        with (
            self._ledger.hold_name(
                f"volume name {spec.name}", blind=self._lookup.is_blind()
            ) as entry,
            self._clones.tidying_up(spec, entry, deadline),
        ):
            zone = self._zone_for(spec, entry, deadline)
            volume = self._take_up_or_find(spec, zone, entry, deadline)
            if volume is None:
                snapshot_id = self._clones.snapshot_for(spec, deadline)
                created = self._maker.make(spec, zone, snapshot_id, entry, deadline)
                self._remember(spec, created.id)
                if entry.created is None:
                    return created
                volume = self._maker.take_up(spec, zone, entry, deadline)
                if volume is None:
                    raise ApiUnavailable(f"volume {created.id} was gone once it was made; retry")
            adopted = self._adoption.adopt(volume, spec, entry, deadline)
            require_accessible(adopted.id, spec.zones)  # labelled by now: orphans are seen (C3)
            return adopted

    def delete(self, volume_id: VolumeId, deadline: Deadline) -> None:
        """Delete the volume unless it is in use; return once it is gone.

        Raises:
            WrongState: It is attached, protected or another cluster's, or the API keeps it for its
                snapshots' sake.
        """
        deadline = deadline.within(self._timing.create_timeout)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            try:
                volume = self._read_to_delete(volume_id, entry, deadline)
                volume = self._reader.wait_while(
                    volume, (VolumeState.DELETING,), deadline, until_stalled=True
                )
                if volume.state is not VolumeState.DELETED:
                    self._require_deletable(volume)
                    if volume.snapshot_ids:
                        self._clones.release_source(volume, deadline)
                        volume = self._reader.get(volume_id, deadline)  # that took its time
                        self._require_deletable(volume)
                    self._delete(volume, entry, deadline)
                    self._clones.release_clone(volume, deadline)
            except NotFound:
                self._clones.release_remains(volume_id, deadline)
        self._recent.forget(volume_id.zone, volume_id.uuid)

    def _zone_for(self, spec: VolumeSpec, entry: Entry, deadline: Deadline) -> ZoneName:
        """Return where the volume is to be made.

        A refusal comes only once what an earlier call may have made elsewhere is known and has its
        labels: no later call would get any further, and the claim may be deleted now (C1, C3). Of a
        node's zone that no list has ever shown, that is not known.

        Raises:
            ApiUnavailable: No list has ever shown a zone that the topology names.
        """
        try:
            return self._placement.zone_for(spec, deadline)
        except (InvalidRequest, WrongZone) as error:
            elsewhere = entry.zone or (spec.source and spec.source.zone)
            if elsewhere and (volume := self._take_up_or_find(spec, elsewhere, entry, deadline)):
                adopted = self._adoption.adopt(volume, spec, entry, deadline)
                require_accessible(adopted.id, spec.zones)
            unlisted = [zone for zone in spec.zones if not self._cloud.knows(zone)]
            if unlisted and isinstance(error, InvalidRequest):  # a copy is made beside its source
                raise ApiUnavailable(
                    f"{error}; the API does not list zone {', '.join(unlisted)}, where a node is, "
                    "so nothing is known of what an earlier process made there; retry"
                ) from error
            raise

    def _take_up_or_find(
        self, spec: VolumeSpec, zone: ZoneName, entry: Entry, deadline: Deadline
    ) -> Volume | None:
        volume = self._maker.take_up(spec, entry.zone or zone, entry, deadline)
        volume = volume or self._find(spec, zone, entry, deadline)
        if volume:
            self._remember(spec, volume.id)
        return volume

    def _remember(self, spec: VolumeSpec, volume_id: VolumeId) -> None:
        """Keep in mind what a list may not show yet, or not any more when it is refused."""
        self._recent.remember(self._labels.names_for(spec), volume_id.zone, volume_id.uuid)

    def _find(
        self, spec: VolumeSpec, zone: ZoneName, entry: Entry, deadline: Deadline
    ) -> Volume | None:
        """Return the volume of that name, in whatever zone it is (C3)."""
        scope = self._cloud.zones(deadline)
        doubtful = (entry.zone,) if entry.zone else scope if entry.is_doubtful() else ()
        searched = {zone, *doubtful}
        names = self._labels.names_for(spec)
        found = self._lookup.find(searched, names, entry, deadline)
        others = [each for each in scope if each not in searched]
        found += self._lookup.find_elsewhere(others, names, deadline)
        return the_only(found, spec.name)

    def _read_to_delete(self, volume_id: VolumeId, entry: Entry, deadline: Deadline) -> Volume:
        """Return the volume; one that was made a moment ago may not be shown yet (C1).

        Raises:
            NotFound: It is gone.
        """
        try:
            return self._reader.read(volume_id, entry, deadline)
        except NotFound:
            seconds = self._recent.seconds_until_shown(volume_id.zone, volume_id.uuid)
            if not seconds:
                raise
        logs.step("waiting until a volume just made is shown")
        deadline.wait(seconds)
        return self._reader.read(volume_id, entry, deadline)

    def _require_deletable(self, volume: Volume) -> None:
        """Raise WrongState unless the volume is this cluster's, unused and unprotected (D12)."""
        self._labels.require_own(volume)
        if volume.attached_to or volume.state in _IN_USE:
            instance = volume.attached_to.uuid if volume.attached_to else "an instance"
            raise WrongState(
                f"volume {volume.id} is {volume.state} to instance {instance}; "
                "it is deleted once it is detached"
            )
        if self._labels.is_protected(volume):
            raise WrongState(
                f"volume {volume.id} has a label that protects it; remove the label to delete it"
            )

    def _delete(self, volume: Volume, entry: Entry, deadline: Deadline) -> None:
        what = f"volume {volume.id} was not deleted"
        client = self._cloud.zone(volume.id.zone)
        logs.step("deleting the volume")
        try:
            ended = self._ledger.send(
                entry,
                partial(client.delete_volume, volume.id.uuid, deadline),
                deadline,
                shown_by=lambda seen: seen.state in _GOING,
            )
        except (ApiRejected, ApiDenied) as error:
            self._look_again(volume, refused(what, error), deadline)
        else:
            if ended.state is not OperationState.SUCCESS:
                self._look_again(volume, failed(what, ended), deadline)
        log.info("volume deleted")

    def _look_again(self, volume: Volume, refusal: DriverError, deadline: Deadline) -> None:
        """Return if the volume is gone all the same; else say why it is not.

        Raises:
            NotFound: It is gone, and the API says so.
            WrongState: It is attached by now, or kept for the sake of its snapshots.
            ApiUnavailable: It stays deleting.
            DriverError: The refusal itself, where nothing else explains it.
        """
        logs.step("asking why the volume was not deleted")
        seen = self._cloud.zone(volume.id.zone).get_volume(volume.id.uuid, deadline)
        seen = self._reader.wait_while(seen, (VolumeState.DELETING,), deadline, until_stalled=True)
        if seen.state is VolumeState.DELETED:
            return
        if seen.state is VolumeState.DELETING:
            raise ApiUnavailable(
                f"volume {seen.id} stays deleting, and to delete it once more did not help; a "
                f"retry tries again; if it stays so, ask Exoscale's support about it; {refusal}"
            ) from refusal
        self._require_deletable(seen)
        if seen.state in _BUSY:
            raise OperationPending(
                f"volume {seen.id} is {seen.state}; it is deleted once that has ended"
            ) from refusal
        if seen.snapshot_ids and isinstance(refusal, _PERHAPS_FOR_SNAPSHOTS):
            ids = ", ".join(str(each.uuid) for each in seen.snapshot_ids)  # 20 of them fit (F11)
            raise WrongState(
                f"volume {seen.id} is kept for its snapshots, and deleted once they are: {ids}; "
                f"{refusal}"
            ) from refusal
        raise refusal
