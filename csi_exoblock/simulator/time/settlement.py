"""End operations: apply their effect, undo it, or leave an error behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.resources import (
    Kind,
    Leaves,
    Operation,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeState,
)


def settle(cloud: Cloud, operation: Operation) -> Operation:
    """End an operation as its `ending` says, and return the ended operation."""
    zone = cloud.zones[operation.zone]
    resources = zone.snapshots if operation.kind.is_about_snapshot else zone.volumes
    before = resources.get(operation.target)
    if operation.kind in (Kind.UPDATE, Kind.UPDATE_SNAPSHOT):
        _update(cloud, zone, operation)
    elif operation.kind.is_about_snapshot:
        _settle_snapshot(zone, operation)
    elif operation.target in zone.volumes:
        _settle_volume(zone, operation)
    if before is not None and operation.target not in resources:
        cloud.remember_deleted(before)
    return cloud.end(operation)


def _settle_volume(zone: Zone, operation: Operation) -> None:
    volume = zone.volumes[operation.target]
    match operation.ending.leaves:
        case Leaves.DONE:
            _VOLUME_DONE[operation.kind](zone, volume)
        case Leaves.NOTHING:
            _VOLUME_UNDONE[operation.kind](zone, volume)
        case Leaves.ERROR:
            zone.put(replace(volume, state=VolumeState.ERROR))
        case Leaves.HALFWAY:
            pass


def _is_there(zone: Zone, volume: Volume) -> None:
    zone.put(replace(volume, state=volume.settled_state))


def _is_detached(zone: Zone, volume: Volume) -> None:
    zone.put(replace(volume, state=VolumeState.DETACHED, instance=None))


def _is_gone(zone: Zone, volume: Volume) -> None:
    del zone.volumes[volume.id]


_Step = Callable[[Zone, Volume], None]
_VOLUME_DONE: Final[Mapping[Kind, _Step]] = {
    Kind.CREATE: _is_there,
    Kind.ATTACH: _is_there,
    Kind.DETACH: _is_detached,
    Kind.DELETE: _is_gone,
}
_VOLUME_UNDONE: Final[Mapping[Kind, _Step]] = {
    Kind.CREATE: _is_gone,
    Kind.ATTACH: _is_detached,
    Kind.DETACH: _is_there,
    Kind.DELETE: _is_there,
}


def _settle_snapshot(zone: Zone, operation: Operation) -> None:
    snapshot = zone.snapshots.get(operation.target)
    leaves = operation.ending.leaves
    if snapshot is None or leaves is Leaves.HALFWAY:
        return
    if operation.kind is Kind.SNAPSHOT:
        _release_source(zone, snapshot)
    if leaves is Leaves.ERROR:
        zone.put(replace(snapshot, state=SnapshotState.ERROR))
    elif (operation.kind is Kind.SNAPSHOT) == (leaves is Leaves.DONE):
        zone.put(replace(snapshot, state=SnapshotState.CREATED))
    else:
        _remove_snapshot(zone, snapshot)


def _release_source(zone: Zone, snapshot: Snapshot) -> None:
    volume = zone.volumes.get(snapshot.volume)
    if volume and volume.state is VolumeState.SNAPSHOTTING:
        zone.put(replace(volume, state=volume.settled_state))


def _remove_snapshot(zone: Zone, snapshot: Snapshot) -> None:
    del zone.snapshots[snapshot.id]
    volume = zone.volumes.get(snapshot.volume)
    if volume:
        others = tuple(each for each in volume.snapshots if each != snapshot.id)
        zone.put(replace(volume, snapshots=others))


def _update(cloud: Cloud, zone: Zone, operation: Operation) -> None:
    """Update a volume or snapshot, unless it has been deleted meanwhile."""
    about_snapshot = operation.kind.is_about_snapshot
    resources = zone.snapshots if about_snapshot else zone.volumes
    resource = resources.get(operation.target)
    if resource is None or operation.ending.leaves is not Leaves.DONE:
        return
    change = operation.change
    labels = resource.labels if change.labels is None else change.labels
    if cloud.modes.has(Question.UPDATE_LABELS, "merge"):
        labels = {**resource.labels, **labels}
    name = resource.name if change.name is None else change.name
    zone.put(replace(resource, name=name, labels=labels))
