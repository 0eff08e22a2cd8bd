"""Decide whether lists and gets show a resource that was just created (C1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.cloud import Cloud
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.resources import Snapshot, SnapshotState, Volume, VolumeState

LAG_SECONDS = 4.0  # drivers rely on less than 5 (requirements, C1)

_UNFINISHED = (VolumeState.CREATING, SnapshotState.CREATING)

T = TypeVar("T", bound=Volume | Snapshot)


class Visibility:
    """Hides new resources if the mode says that the cloud answers from lagging copies."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def listed(self, resources: Iterable[T]) -> list[T]:
        """Return the resources that a list shows."""
        return [each for each in resources if not self._is_hidden(each, Question.LIST_LAG)]

    def shown(self, resource: T) -> T:
        """Return the resource, or refuse the get because it is not visible yet."""
        if self._is_hidden(resource, Question.GET_LAG):
            what = "volume" if isinstance(resource, Volume) else "snapshot"
            raise refusals.not_found(f"block storage {what}", resource.id)
        return resource

    def _is_hidden(self, resource: Volume | Snapshot, lag: Question) -> bool:
        modes = self._cloud.modes
        if resource.state in _UNFINISHED and modes.has(Question.UNFINISHED, "hidden"):
            return True
        if modes.has(lag, "no"):
            return False
        newest = self._cloud.clock() - self._cloud.latencies.scaled(LAG_SECONDS)
        return resource.created_at > newest
