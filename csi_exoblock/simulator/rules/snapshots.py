"""Decide what may be done to a snapshot: create, update, delete.

Source: API operations create-, update- and delete-block-storage-snapshot; the vendor's documented
limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from csi_exoblock.simulator.rules import labelling
from csi_exoblock.simulator.rules.volumes import require_settled
from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.quotas import Resource
from csi_exoblock.simulator.state.resources import (
    Change,
    Kind,
    Operation,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeState,
)

SNAPSHOTS_PER_VOLUME = 20


class Snapshots:
    """The snapshots of a cloud, and the rules for them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def create(
        self, zone: Zone, volume_id: UUID, *, name: str | None, labels: Mapping[str, str]
    ) -> Operation:
        """Begin to take a snapshot of a volume, which is `snapshotting` meanwhile."""
        volume = zone.volume(volume_id)
        require_settled(volume)
        self._require_room(volume)
        snapshot = Snapshot(
            id=(id := self._cloud.new_id()),
            name=name or f"snapshot-{id}",
            volume=volume_id,
            volume_size_gib=volume.size_gib,
            state=SnapshotState.CREATING,
            labels=labelling.at_creation(labels, self._cloud.modes),
            created_at=self._cloud.clock(),
        )
        zone.put(snapshot)
        zone.put(
            replace(
                volume,
                state=self._state_meanwhile(volume),
                snapshots=(*volume.snapshots, snapshot.id),
            )
        )
        return self._cloud.begin(zone, Kind.SNAPSHOT, snapshot.id, Change(name=snapshot.name))

    def update(self, zone: Zone, id: UUID, change: Change) -> Operation:
        """Begin to change the name or the labels of a snapshot."""
        if zone.snapshot(id).state is SnapshotState.DESTROYING:
            raise refusals.conflict(f"snapshot {id} is being destroyed")
        labelling.require_good(change.labels or {}, self._cloud.modes)
        return self._cloud.begin(zone, Kind.UPDATE_SNAPSHOT, id, change)

    def delete(self, zone: Zone, id: UUID) -> Operation:
        """Begin to delete a snapshot."""
        snapshot = zone.snapshot(id)
        at_rest = snapshot.state in (SnapshotState.CREATED, SnapshotState.ERROR)
        if not (at_rest or self._cloud.may_go_halfway(snapshot)):
            raise refusals.conflict(f"snapshot {id} is {snapshot.state}")
        self._require_unused(zone, id)
        zone.put(replace(snapshot, state=SnapshotState.DESTROYING))
        return self._cloud.begin(zone, Kind.DELETE_SNAPSHOT, id)

    def _require_room(self, volume: Volume) -> None:
        modes = self._cloud.modes
        if volume.instance and modes.has(Question.SNAPSHOT_ATTACHED, "refused"):
            raise refusals.conflict(f"volume {volume.id} is attached")
        if len(volume.snapshots) >= SNAPSHOTS_PER_VOLUME:
            raise refusals.conflict(f"volume {volume.id} has {SNAPSHOTS_PER_VOLUME} snapshots")
        self._cloud.quotas.require(Resource.SNAPSHOTS, self._cloud.count_snapshots() + 1)

    def _state_meanwhile(self, volume: Volume) -> VolumeState:
        if self._cloud.modes.has(Question.SNAPSHOT_ATTACHED, "free"):
            return volume.state
        return VolumeState.SNAPSHOTTING

    def _require_unused(self, zone: Zone, id: UUID) -> None:
        answer = self._cloud.modes.answer(Question.DELETE_RESTORED_SNAPSHOT)
        restored = [volume for volume in zone.volumes.values() if volume.source == id]
        if answer == "after-restore":
            restored = [volume for volume in restored if volume.state is VolumeState.CREATING]
        if restored and answer != "anytime":
            raise refusals.conflict(f"snapshot {id} is in use by volume {restored[0].id}")
