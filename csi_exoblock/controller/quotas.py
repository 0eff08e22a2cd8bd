"""The organisation's quotas and their use, read to explain a refusal or to report capacity.

They hold for all zones together. No create reads them before it is refused (S20).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from csi_exoblock.capacity import CSI_MAX_GIB, CapacityRange, SizeLimits, choose_size_gib
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import DEFAULT_SIZE_LIMITS
from csi_exoblock.controller.placement import choose_zone
from csi_exoblock.errors import DriverError, SizeOutOfRange
from csi_exoblock.exoscale.client import Cloud, ZoneClient
from csi_exoblock.model import Quota, ZoneName

log = logging.getLogger(__name__)

VOLUMES = "block-storage-volume"
GIBIBYTES = "block-storage"
SNAPSHOTS = "block-storage-snapshot"
ATTACHMENTS = "block-storage-volume-attachments"
LARGEST_GIB = "block-storage-max-size"


def read_quotas(zone: ZoneClient, deadline: Deadline) -> dict[str, Quota]:
    """Return the quotas by resource; an empty dict if they can't be read (N5)."""
    try:
        return {quota.resource: quota for quota in zone.list_quotas(deadline)}
    except DriverError:
        log.warning("quotas unreadable", exc_info=True)
        return {}


def exceeded(quotas: dict[str, Quota], wanted: dict[str, int]) -> str | None:
    """Return which quota the wanted amounts exceed, with limit and use; `None` if they fit.

    Args:
        wanted: How much more of each resource is wanted.
    """
    for resource, amount in wanted.items():
        quota = quotas.get(resource)
        if quota and quota.limit is not None and quota.usage + amount > quota.limit:
            return f"quota {resource}: {quota.usage} of {quota.limit} in use, {amount} more needed"
    return None


def above_largest(quotas: dict[str, Quota], size_gib: int) -> str | None:
    """Return which quota forbids a volume of that size, `None` if none does."""
    quota = quotas.get(LARGEST_GIB)
    if quota and quota.limit is not None and size_gib > quota.limit:
        return f"the quota {LARGEST_GIB} allows {quota.limit} GiB"
    return None


def size_within_limits(
    wanted: CapacityRange,
    limits: SizeLimits,
    zone: ZoneClient,
    deadline: Deadline,
    *,
    source_gib: int = 0,
) -> int:
    """Return the size in GiB for a request; read the quota only for an unusually large one (N5).

    The documented maximum holds unless the organisation's quota allows more. If the quota allows
    less, the API refuses, and `above_largest` explains it.

    Raises:
        SizeOutOfRange: No size satisfies the range, the source and the limits.
    """
    try:
        return choose_size_gib(wanted, limits, source_gib=source_gib)
    except SizeOutOfRange:
        if limits.max_gib != DEFAULT_SIZE_LIMITS.max_gib:
            raise
        largest = read_quotas(zone, deadline).get(LARGEST_GIB)
        if largest is None or (largest.limit is not None and largest.limit <= limits.max_gib):
            raise
        raised = SizeLimits(min_gib=limits.min_gib, max_gib=largest.limit or CSI_MAX_GIB)
        return choose_size_gib(wanted, raised, source_gib=source_gib)


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableCapacity:
    """What can still be created in a zone, in GiB.

    Attributes:
        largest_gib: The size of the largest volume that fits; 0 if none does.
        smallest_gib: The minimum size of a volume.
    """

    largest_gib: int
    smallest_gib: int


class Availability:
    """Computes from the quotas how much more can be created (N4)."""

    def __init__(
        self, *, cloud: Cloud, default_zone: ZoneName | None, size_limits: SizeLimits
    ) -> None:
        self._cloud = cloud
        self._default_zone = default_zone
        self._size_limits = size_limits

    def capacity_in(self, zone: ZoneName | None, deadline: Deadline) -> AvailableCapacity:
        """Return what can still be created in a zone, or in the default zone if none is named.

        Raises:
            InvalidRequest: The zone is unknown or not in scope.
            ApiUnavailable: The quotas can't be read.
        """
        asked = (zone,) if zone else ()
        chosen = choose_zone(
            asked, in_scope=self._cloud.zones(deadline, asked), default=self._default_zone
        )
        quotas = {quota.resource: quota for quota in self._cloud.zone(chosen).list_quotas(deadline)}
        allowed_gib = self._allowed_gib(quotas.get(LARGEST_GIB))
        largest_gib = min(_left(quotas.get(GIBIBYTES), allowed_gib), allowed_gib, CSI_MAX_GIB)
        if _left(quotas.get(VOLUMES), 1) < 1:
            largest_gib = 0
        return AvailableCapacity(largest_gib=largest_gib, smallest_gib=self._size_limits.min_gib)

    def _allowed_gib(self, quota: Quota | None) -> int:
        """Return the quota's maximum size, or the flag's if that is smaller (N5)."""
        flag = self._size_limits.max_gib
        if quota is None or quota.limit is None:
            return flag
        return quota.limit if flag == DEFAULT_SIZE_LIMITS.max_gib else min(flag, quota.limit)


def _left(quota: Quota | None, unlimited: int) -> int:
    """Return how much of a quota is left; `unlimited` if it has no limit."""
    if quota is None or quota.limit is None:
        return unlimited
    return max(quota.limit - quota.usage, 0)
