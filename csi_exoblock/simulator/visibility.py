"""Decide what of a thing that was just made a list and a get show (C1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from csi_exoblock.simulator import refusals
from csi_exoblock.simulator.cloud import Cloud
from csi_exoblock.simulator.modes import Question
from csi_exoblock.simulator.resources import Snapshot, SnapshotState, Volume, VolumeState

LAG_SECONDS = 4.0  # a driver may count on less than 5 (requirements, C1)

_UNFINISHED = (VolumeState.CREATING, SnapshotState.CREATING)

T = TypeVar("T", bound=Volume | Snapshot)


class Visibility:
    """Hides what is too new, where the cloud answers from copies that lag behind."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def listed(self, resources: Iterable[T]) -> list[T]:
        """Return what a list shows of the resources."""
        return [each for each in resources if not self._is_hidden(each, Question.LIST_LAG)]

    def shown(self, resource: T) -> T:
        """Return the resource as a get shows it, or refuse because it is not to be seen yet."""
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
