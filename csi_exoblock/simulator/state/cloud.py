"""Hold the state of the simulated cloud: its zones, their resources, and the operations on them.

Nothing here waits, knows HTTP or touches a disk. The rules for requests are in `volumes`,
`attachments` and `snapshots`; the effects of operations are in `settlement`.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.durations import Latencies
from csi_exoblock.simulator.state.instance_types import InstanceSize
from csi_exoblock.simulator.state.modes import Modes, Question
from csi_exoblock.simulator.state.quotas import Quotas
from csi_exoblock.simulator.state.resources import (
    Change,
    Instance,
    InstanceState,
    Kind,
    Operation,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeState,
)

LabelChanges = Mapping[str, str | None]
"""Labels to add or replace; the value None removes a label."""

_HALFWAY = (
    *(VolumeState.CREATING, VolumeState.DELETING),
    *(SnapshotState.CREATING, SnapshotState.DESTROYING),
)
_OPERATIONS_KEPT = 100_000
_USAGE_LAG_SECONDS = 120.0  # the real one takes minutes


@dataclass(slots=True)
class Zone:
    """One zone with its volumes, snapshots and instances, oldest first."""

    name: str
    volumes: dict[UUID, Volume] = field(default_factory=dict)
    snapshots: dict[UUID, Snapshot] = field(default_factory=dict)
    instances: dict[UUID, Instance] = field(default_factory=dict)

    def volume(self, id: UUID) -> Volume:
        """Return a volume, or refuse because it is not in this zone."""
        if id not in self.volumes:
            raise refusals.not_found("block storage volume", id)
        return self.volumes[id]

    def snapshot(self, id: UUID) -> Snapshot:
        """Return a snapshot, or refuse because it is not in this zone."""
        if id not in self.snapshots:
            raise refusals.not_found("block storage snapshot", id)
        return self.snapshots[id]

    def instance(self, id: UUID) -> Instance:
        """Return an instance, or refuse because it is not in this zone."""
        if id not in self.instances:
            raise refusals.not_found("instance", id)
        return self.instances[id]

    def attached_to(self, instance: UUID) -> list[Volume]:
        """Return the volumes of an instance, also those on their way to or from it."""
        return [volume for volume in self.volumes.values() if volume.instance == instance]

    def put(self, resource: Volume | Snapshot | Instance) -> None:
        """Add a resource, or replace the one with its id."""
        match resource:
            case Volume():
                self.volumes[resource.id] = resource
            case Snapshot():
                self.snapshots[resource.id] = resource
            case Instance():
                self.instances[resource.id] = resource


class Cloud:
    """Every zone, and what they share: quotas, modes, latencies, operations, ids and time.

    Args:
        random: The source of ids: the same seed and the same calls give the same ids.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        *,
        zones: Iterable[str],
        latencies: Latencies,
        modes: Modes,
        random: random.Random,
        clock: Callable[[], float],
    ) -> None:
        self.zones = {name: Zone(name) for name in zones}
        self.quotas = Quotas()
        self.latencies = latencies
        self.modes = modes
        self.clock = clock
        self._started_at = clock()
        self.operations: dict[UUID, Operation] = {}
        self.listed_zones: tuple[str, ...] = tuple(self.zones)
        """The zones that the API's list shows; a test can hide some."""
        self._labels_to_come: dict[UUID, LabelChanges] = {}
        self._deleted: deque[tuple[float, Volume | Snapshot]] = deque()
        self.random = random
        self._settings_at_start = copy.deepcopy((latencies, modes))

    def clear(self) -> None:
        """Return to the state of the start: only the local instances; ids do not repeat."""
        self.operations.clear()
        self.listed_zones = tuple(self.zones)
        self._labels_to_come.clear()
        self._deleted.clear()
        self.quotas = Quotas()
        self.latencies, self.modes = copy.deepcopy(self._settings_at_start)
        for zone in self.zones.values():
            zone.volumes.clear()
            zone.snapshots.clear()
            zone.instances = {
                id: replace(instance, state=InstanceState.RUNNING)
                for id, instance in zone.instances.items()
                if instance.is_local
            }

    def age(self) -> float:
        """Return how many seconds ago the cloud was started."""
        return self.clock() - self._started_at

    def zone(self, name: str) -> Zone:
        """Return a zone, or refuse because there is none of that name."""
        if name not in self.zones:
            known = ", ".join(self.zones)
            raise refusals.Refusal(404, f"zone {name} not found; this cloud has {known}")
        return self.zones[name]

    def under_way(self, target: UUID) -> list[Operation]:
        """Return the operations on a volume or snapshot that have not ended."""
        operations = self.operations.values()
        return [each for each in operations if each.target == target and each.finished_at is None]

    def is_under_way(self, target: UUID) -> bool:
        """Return whether an operation on a volume or snapshot has not ended."""
        return bool(self.under_way(target))

    def may_go_halfway(self, thing: Volume | Snapshot) -> bool:
        """Return whether a volume or snapshot may be deleted after an operation failed halfway."""
        is_halfway = thing.state in _HALFWAY and not self.is_under_way(thing.id)
        return is_halfway and self.modes.has(Question.DELETE_HALFWAY, "accepted")

    def all_volumes(self) -> Iterator[Volume]:
        """Yield the volumes of every zone."""
        for zone in self.zones.values():
            yield from zone.volumes.values()

    def relabel(self, zone: Zone, id: UUID, changes: LabelChanges) -> None:
        """Change labels of a volume at once, in every mode."""
        volume = zone.volume(id)
        labels = {**volume.labels, **changes}
        zone.put(replace(volume, labels={key: value for key, value in labels.items() if value}))

    def relabel_after_get(self, id: UUID, changes: LabelChanges) -> None:
        """Change labels of a volume right after the next get of it has read the old ones."""
        self._labels_to_come[id] = changes

    def was_shown(self, zone: Zone, id: UUID) -> None:
        """Note that a get has just read a volume."""
        if changes := self._labels_to_come.pop(id, None):
            self.relabel(zone, id, changes)

    def remember_deleted(self, resource: Volume | Snapshot) -> None:
        """Remember a deletion, because quotas count it for a while."""
        self._deleted.append((self.clock(), resource))

    def deleted_lately(self) -> list[Volume | Snapshot]:
        """Return the deleted resources that quotas still count as used."""
        oldest = self.clock() - self.latencies.scaled(_USAGE_LAG_SECONDS)
        while self._deleted and self._deleted[0][0] < oldest:
            self._deleted.popleft()
        lags = self.modes.has(Question.QUOTA_USAGE, "lags")
        return [resource for _, resource in self._deleted] if lags else []

    def instance_having(self, zone: str, volume_id: str) -> str | None:
        """Return the id of a volume's instance, None if it is detached or no volume."""
        try:
            instance = self.zones[zone].volumes[UUID(volume_id)].instance
        except (KeyError, ValueError):
            return None
        return str(instance) if instance else None

    def count_snapshots(self) -> int:
        """Return how many snapshots there are in all zones."""
        return sum(len(zone.snapshots) for zone in self.zones.values())

    def new_id(self) -> UUID:
        """Make the next id."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def begin(
        self, zone: Zone, kind: Kind, target: UUID, change: Change | None = None
    ) -> Operation:
        """Begin an operation; `settlement` ends it."""
        now = self.clock()
        operation = Operation(
            id=self.new_id(),
            zone=zone.name,
            kind=kind,
            target=target,
            started_at=now,
            due_at=now + self.latencies.draw(kind, self.age()),
            change=change or Change(),
        )
        self.keep(operation)
        return operation

    def keep(self, operation: Operation) -> None:
        """Replace an operation by its present state; forget very old ones."""
        self.operations[operation.id] = operation
        if len(self.operations) > _OPERATIONS_KEPT:
            del self.operations[next(iter(self.operations))]

    def end(self, operation: Operation) -> Operation:
        """End an operation in the state that its `ending` says, and return it."""
        ended = replace(operation, state=operation.ending.state, finished_at=self.clock())
        self.keep(ended)
        return ended

    def has_ended(self, operation: Operation) -> bool:
        """Return whether an operation was ended or forgotten since it was read."""
        present = self.operations.get(operation.id)
        return present is None or present.finished_at is not None

    def operation(self, zone: Zone, id: UUID) -> Operation:
        """Return an operation of a zone, or refuse because there is none of that id."""
        operation = self.operations.get(id)
        if operation is None or operation.zone != zone.name:
            raise refusals.not_found("operation", id)
        return operation

    def add_instance(
        self,
        zone: Zone,
        *,
        id: UUID | None = None,
        name: str = "",
        size: InstanceSize = InstanceSize.MEDIUM,
        is_local: bool = False,
    ) -> Instance:
        """Add a running instance."""
        id = id or self.new_id()
        instance = Instance(
            id=id,
            name=name or f"instance-{id}",
            state=InstanceState.RUNNING,
            created_at=self.clock(),
            size=size,
            is_local=is_local,
        )
        zone.put(instance)
        return instance
