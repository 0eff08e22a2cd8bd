"""Creating volumes: one for each name, never a second one (C1, C3, D11)."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import NoReturn

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.adoption import Adoption, only_one
from csi_exoblock.controller.clones import Clones
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.lookup import Lookup
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.placement import Placement, require_accessible
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.specs import CreatedVolume, VolumeSpec
from csi_exoblock.controller.volume_creation import VolumeCreation
from csi_exoblock.errors import (
    ApiUnavailable,
    InvalidRequest,
    WrongZone,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Volume, VolumeId, ZoneName
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class Volumes:
    """Creates volumes; any call can be repeated, lost or killed at any point."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        lookup: Lookup[Volume],
        recent: RecentCreations,
        placement: Placement,
        creation: VolumeCreation,
        adoption: Adoption,
        clones: Clones,
        labels: Labels,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._lookup = lookup
        self._recent = recent
        self._placement = placement
        self._creation = creation
        self._adoption = adoption
        self._clones = clones
        self._labels = labels
        self._timing = timing

    def judging(self, name: str) -> AbstractContextManager[None]:
        """Return the block in which a request to create a volume of that name is judged (C1)."""
        return self._ledger.judging(_key(name))

    def create(self, spec: VolumeSpec, deadline: Deadline) -> CreatedVolume:
        """Return the volume of that name; create it unless an earlier call did.

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
            self._ledger.hold_name(_key(spec.name), blind=self._lookup.is_blind()) as entry,
            self._clones.tidying_up(spec, entry, deadline),
        ):
            try:
                zone = self._placement.zone_for(spec, deadline)
            except (InvalidRequest, WrongZone) as error:
                self._refuse_zones(error, spec, entry, deadline)
            volume = self._resume_or_find(spec, zone, entry, deadline)
            if volume is None:
                snapshot_id = self._clones.snapshot_for(spec, deadline)
                new = self._creation.create(spec, zone, snapshot_id, entry, deadline)
                self._remember(spec, new.volume.id)
                if new.is_complete:
                    return new.volume
                volume = self._creation.resume(spec, zone, entry, deadline)
                if volume is None:
                    raise ApiUnavailable(f"volume {new.volume.id} was gone once it was made; retry")
            return self._adopt(volume, spec, entry, deadline)

    def _refuse_zones(
        self, error: InvalidRequest | WrongZone, spec: VolumeSpec, entry: Entry, deadline: Deadline
    ) -> NoReturn:
        """Raise why no zone can be chosen, after what an earlier call created elsewhere is adopted.

        No later call would get any further, and the claim can be deleted now. So a volume must have
        its labels before the refusal, or nobody would know whose it is (C1, C3).

        Raises:
            WrongZone: The volume exists, in a zone that the request does not allow.
            ApiUnavailable: The topology names a zone that no list has ever shown: nothing is known
                of what an earlier process created there.
        """
        elsewhere = entry.zone or (spec.source and spec.source.zone)
        if elsewhere and (volume := self._resume_or_find(spec, elsewhere, entry, deadline)):
            self._adopt(volume, spec, entry, deadline)
        unlisted = [zone for zone in spec.zones if not self._cloud.knows(zone)]
        # A copy is created beside its source, so the zones of the request tell nothing about it.
        if unlisted and isinstance(error, InvalidRequest):
            raise ApiUnavailable(
                f"{error}; the API does not list zone {', '.join(unlisted)}, where a node is, so "
                "nothing is known of what an earlier process made there; retry"
            ) from error
        raise error

    def _adopt(
        self, volume: Volume, spec: VolumeSpec, entry: Entry, deadline: Deadline
    ) -> CreatedVolume:
        """Return the volume, completed, if the spec asks for it and a pod can reach it.

        Raises:
            WrongZone: It is in none of the zones; it has its labels by then, so `orphans` shows it
                if the claim is deleted instead (C3).
        """
        adopted = self._adoption.adopt(volume, spec, entry, deadline)
        require_accessible(adopted.id, spec.zones)
        return adopted

    def _resume_or_find(
        self, spec: VolumeSpec, zone: ZoneName, entry: Entry, deadline: Deadline
    ) -> Volume | None:
        """Return the volume that an earlier call created, in this process or before it."""
        volume = self._creation.resume(spec, entry.zone or zone, entry, deadline)
        volume = volume or self._find(spec, zone, entry, deadline)
        if volume:
            self._remember(spec, volume.id)
        return volume

    def _remember(self, spec: VolumeSpec, volume_id: VolumeId) -> None:
        """Remember a volume that a list may not show yet, or that a refused list cannot show."""
        self._recent.remember(self._labels.names_for(spec), volume_id.zone, volume_id.uuid)

    def _find(
        self, spec: VolumeSpec, zone: ZoneName, entry: Entry, deadline: Deadline
    ) -> Volume | None:
        """Return the volume of that name, in any zone in scope (C3).

        The target zone is listed afresh, and so is each zone in which an unsettled creation can be.
        """
        scope = self._cloud.zones(deadline)
        doubtful = (entry.zone,) if entry.zone else scope if entry.is_doubtful() else ()
        searched = {zone, *doubtful}
        names = self._labels.names_for(spec)
        found = self._lookup.find(searched, names, entry, deadline)
        others = [each for each in scope if each not in searched]
        found += self._lookup.find_elsewhere(others, names, deadline)
        return only_one(found, spec.name, name_label=self._labels.name_label)


def _key(name: str) -> str:
    return f"volume name {name}"
