"""Keep the cloud's state in a file, so that it survives a restart of the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.codec import decode, encode
from csi_exoblock.simulator.state.refusals import Refusal
from csi_exoblock.simulator.state.resources import Instance, Operation, Snapshot, Volume

_SAVE_SECONDS: Final = 1.0  # a kill loses at most the changes of this time
_FINISHED_KEPT: Final = 1000  # clients might still poll the latest operations
_RANDOM_VERSION: Final = 3  # of `random.Random.getstate`, since Python 3.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _ZoneState:
    name: str
    volumes: tuple[Volume, ...]
    snapshots: tuple[Snapshot, ...]
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CloudState:
    zones: tuple[_ZoneState, ...]
    operations: tuple[Operation, ...]
    quotas: Mapping[str, int]
    random: tuple[int, ...]


class StateFile:
    """A file with the state of a cloud."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: _CloudState | None = None

    def load(self, cloud: Cloud) -> None:
        """Load the saved state into a new cloud; leave out zones that this cloud does not have.

        Raises:
            ValueError: The file was not written by this simulator.
        """
        if not self._path.exists():
            return
        try:
            _restore(cloud, decode(_CloudState, json.loads(self._path.read_text())))
        except (ValueError, Refusal) as error:
            raise ValueError(f"{self._path}: {error}") from error

    def save(self, cloud: Cloud) -> None:
        """Write the state if it has changed; the file is replaced in one step."""
        state = _read(cloud)
        if state == self._saved:
            return
        draft = self._path.with_suffix(".draft")
        draft.write_text(encode(state))
        draft.replace(self._path)
        self._saved = state

    async def keep_saving(self, cloud: Cloud) -> None:
        """Write the state again and again, until cancelled."""
        while True:
            self.save(cloud)
            await asyncio.sleep(_SAVE_SECONDS)


def _restore(cloud: Cloud, state: _CloudState) -> None:
    for saved in state.zones:
        if saved.name in cloud.zones:
            _fill(cloud.zones[saved.name], saved)
    for operation in state.operations:
        if operation.zone in cloud.zones:
            cloud.keep(operation)
    for resource, limit in state.quotas.items():
        cloud.quotas.set(resource, limit)
    cloud.random.setstate((_RANDOM_VERSION, state.random, None))


def _fill(zone: Zone, saved: _ZoneState) -> None:
    zone.volumes.update((each.id, each) for each in saved.volumes)
    zone.snapshots.update((each.id, each) for each in saved.snapshots)
    zone.instances.update((each.id, each) for each in saved.instances)


def _read(cloud: Cloud) -> _CloudState:
    operations = tuple(cloud.operations.values())
    pending = (each for each in operations[:-_FINISHED_KEPT] if each.finished_at is None)
    return _CloudState(
        zones=tuple(
            _ZoneState(
                name=zone.name,
                volumes=tuple(zone.volumes.values()),
                snapshots=tuple(zone.snapshots.values()),
                instances=tuple(zone.instances.values()),
            )
            for zone in cloud.zones.values()
        ),
        operations=(*pending, *operations[-_FINISHED_KEPT:]),
        quotas=cloud.quotas.as_json(),
        random=cloud.random.getstate()[1],
    )
