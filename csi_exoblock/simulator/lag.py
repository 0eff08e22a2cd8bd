"""Lists that lag behind what was made: one of the two answers that the real API may give (C1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from csi_exoblock.simulator.cloud import Cloud
from csi_exoblock.simulator.modes import Question
from csi_exoblock.simulator.resources import Snapshot, Volume

LAG_SECONDS = 4.0  # a driver may count on less than 5 (requirements, C1)

T = TypeVar("T", bound=Volume | Snapshot)


class ListLag:
    """Hides what is too new for a list, where lists lag."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def shown(self, resources: Iterable[T]) -> list[T]:
        """Return what a list shows of the resources."""
        if self._cloud.modes.has(Question.LIST_LAG, "no"):
            return list(resources)
        newest = self._cloud.clock() - self._cloud.latencies.scaled(LAG_SECONDS)
        return [each for each in resources if each.created_at <= newest]
