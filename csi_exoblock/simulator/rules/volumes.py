"""Decide what may be done to a volume: create, update, resize, delete.

Source: API operations create-, update-, resize- and delete-block-storage-volume; the vendor's
documented limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from csi_exoblock.simulator.rules import labelling
from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.quotas import Resource, used_gib
from csi_exoblock.simulator.state.resources import (
    Change,
    InstanceState,
    Kind,
    Operation,
    SnapshotState,
    Volume,
    VolumeState,
)


class Volumes:
    """The volumes of a cloud, and the rules for them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def create(
        self,
        zone: Zone,
        *,
        name: str | None,
        size_gib: int | None,
        labels: Mapping[str, str],
        source: UUID | None,
    ) -> Operation:
        """Begin to create a volume, blank or from a snapshot."""
        size_gib = self._choose_size(zone, size_gib, source)
        self._require_room(size_gib, more_gib=size_gib, more_volumes=1)
        self._require_free_name(zone, name)
        volume = Volume(
            id=(id := self._cloud.new_id()),
            name=name or f"volume-{id}",
            size_gib=size_gib,
            state=VolumeState.CREATING,
            labels=labelling.at_creation(labels, self._cloud.modes),
            created_at=self._cloud.clock(),
            source=source,
        )
        zone.put(volume)
        return self._cloud.begin(zone, Kind.CREATE, volume.id, Change(name=volume.name))

    def update(self, zone: Zone, id: UUID, change: Change) -> Operation:
        """Begin to change the name or the labels of a volume."""
        volume = zone.volume(id)
        if volume.state is VolumeState.DELETING:
            raise refusals.conflict(f"volume {id} is being deleted")
        in_use = volume.instance or volume.state is VolumeState.SNAPSHOTTING
        if in_use and self._cloud.modes.has(Question.UPDATE_IN_USE, "refused"):
            raise refusals.conflict(f"volume {id} is {volume.state}")
        labelling.require_good(change.labels or {}, self._cloud.modes)
        if change.name != volume.name:
            self._require_free_name(zone, change.name)
        return self._cloud.begin(zone, Kind.UPDATE, id, change)

    def resize(self, zone: Zone, id: UUID, size_gib: int) -> Volume:
        """Return a volume with its new size; it must be detached or its instance stopped.

        The runner decides when the larger volume replaces the present one.
        """
        volume = zone.volume(id)
        self._require_room(size_gib, more_gib=size_gib - volume.size_gib, more_volumes=0)
        require_settled(volume)
        may_run = self._cloud.modes.has(Question.RESIZE_ATTACHED, "accepted")
        if volume.instance and not (may_run or self._is_stopped(zone, volume.instance)):
            raise refusals.in_use(
                f"volume {id} is attached to instance {volume.instance}, which is not stopped"
            )
        if size_gib <= volume.size_gib:
            raise refusals.invalid(f"volume {id} has {volume.size_gib} GiB: it can only grow")
        return replace(volume, size_gib=size_gib)

    def delete(self, zone: Zone, id: UUID) -> Operation:
        """Begin to delete a volume; its snapshots stay."""
        volume = zone.volume(id)
        modes = self._cloud.modes
        if volume.state is not VolumeState.ERROR and not self._cloud.may_go_halfway(volume):
            require_settled(volume)
        if volume.instance and modes.has(Question.DELETE_ATTACHED, "refused"):
            raise refusals.still_attached(f"volume {id} is attached to instance {volume.instance}")
        if volume.snapshots and modes.has(Question.DELETE_WITH_SNAPSHOTS, "refused"):
            raise refusals.conflict(f"volume {id} has {len(volume.snapshots)} snapshots")
        zone.put(replace(volume, state=VolumeState.DELETING))
        return self._cloud.begin(zone, Kind.DELETE, id)

    def _choose_size(self, zone: Zone, size_gib: int | None, source: UUID | None) -> int:
        if source is None:
            if size_gib is None:
                raise refusals.invalid("size is required when no snapshot is given")
            return size_gib
        snapshot = zone.snapshot(source)
        if snapshot.state is not SnapshotState.CREATED:
            raise refusals.conflict(f"snapshot {source} is {snapshot.state}")
        if size_gib is not None and size_gib < snapshot.volume_size_gib:
            raise refusals.invalid(
                f"size {size_gib} is below the {snapshot.volume_size_gib} GiB of the snapshot"
            )
        larger = self._cloud.modes.answer(Question.RESTORE_LARGER)
        if larger == "refused" and size_gib not in (None, snapshot.volume_size_gib):
            raise refusals.invalid(f"a restore of snapshot {source} has the size of its source")
        if larger == "ignored":
            return snapshot.volume_size_gib
        return size_gib or snapshot.volume_size_gib

    def _require_room(self, size_gib: int, *, more_gib: int, more_volumes: int) -> None:
        minimum_gib = int(self._cloud.modes.answer(Question.MINIMUM_SIZE))
        if size_gib < minimum_gib:
            raise refusals.invalid(f"size {size_gib} is below the minimum of {minimum_gib} GiB")
        quotas = self._cloud.quotas
        volumes = tuple(self._cloud.all_volumes())
        quotas.require(Resource.MAXIMUM_SIZE_GIB, size_gib)
        quotas.require(Resource.SIZE_GIB, used_gib(volumes) + more_gib)
        quotas.require(Resource.VOLUMES, len(volumes) + more_volumes)

    def _require_free_name(self, zone: Zone, name: str | None) -> None:
        if name is None or self._cloud.modes.has(Question.NAMES_UNIQUE, "no"):
            return
        if any(volume.name == name for volume in zone.volumes.values()):
            raise refusals.conflict(f"a volume named {name!r} exists")

    def _is_stopped(self, zone: Zone, instance: UUID) -> bool:
        return (
            instance in zone.instances and zone.instances[instance].state is InstanceState.STOPPED
        )


def require_settled(volume: Volume) -> None:
    """Raise Refusal unless no operation works on the volume."""
    if not volume.is_settled:
        raise refusals.conflict(f"volume {volume.id} is {volume.state}")
