"""Count the organisation's use of resources, and refuse what exceeds its limits.

Source: get-quota and list-quotas; the names are those of the vendor's own command line, save
`block-storage-snapshot`, which is a guess. The defaults are the vendor's documented ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.resources import Volume

UNLIMITED = -1


class Resource(StrEnum):
    """The limited resources."""

    SIZE_GIB = "block-storage"
    VOLUMES = "block-storage-volume"
    SNAPSHOTS = "block-storage-snapshot"
    MAXIMUM_SIZE_GIB = "block-storage-max-size"
    ATTACHMENTS = "block-storage-volume-attachments"


class Quotas:
    """The limits of the organisation for all zones together; -1 is unlimited."""

    def __init__(self) -> None:
        self._limits: dict[str, int] = {
            Resource.SIZE_GIB: 20 * 1024,
            Resource.VOLUMES: 1000,
            Resource.SNAPSHOTS: UNLIMITED,
            Resource.MAXIMUM_SIZE_GIB: 10 * 1024,
            Resource.ATTACHMENTS: 5,
        }

    def limit(self, resource: str) -> int:
        """Return a limit.

        Raises:
            Refusal: Nothing of that name is limited.
        """
        if resource not in self._limits:
            raise refusals.not_found("quota", resource)
        return self._limits[resource]

    def set(self, resource: str, limit: int) -> None:
        """Set a limit.

        Raises:
            Refusal: Nothing of that name is limited.
            ValueError: The limit is no number of things.
        """
        self.limit(resource)
        if type(limit) is not int or limit < UNLIMITED:
            raise ValueError(f"the limit of {resource} is no whole number from -1: {limit!r}")
        self._limits[resource] = limit

    def require(self, resource: Resource, wanted: int) -> None:
        """Raise Refusal unless the use stays within the limit.

        Args:
            wanted: The use after the change.

        Raises:
            Refusal: It exceeds the limit.
        """
        limit = self._limits[resource]
        if limit != UNLIMITED and wanted > limit:
            raise refusals.limit_reached(resource)

    def as_json(self) -> dict[str, int]:
        """Return the limits, by resource."""
        return dict(self._limits)

    def __iter__(self) -> Iterator[str]:
        return iter(self._limits)


def used_gib(volumes: Iterable[Volume]) -> int:
    """Return the sum of the volumes' sizes in GiB."""
    return sum(volume.size_gib for volume in volumes)


def most_attached(volumes: Iterable[Volume]) -> int:
    """Return the largest number of volumes that one instance has."""
    counts = Counter(volume.instance for volume in volumes if volume.instance)
    return max(counts.values(), default=0)
