"""How much more the organisation's quota lets us make (N4)."""

from __future__ import annotations

from dataclasses import dataclass

from csi_exoblock.capacity import CSI_MAX_GIB, SizeLimits
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import DEFAULT_SIZE_LIMITS
from csi_exoblock.controller.placement import choose_zone
from csi_exoblock.controller.quotas import GIBIBYTES, LARGEST_GIB, VOLUMES
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Quota, ZoneName


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What can still be made in a zone, in GiB.

    Attributes:
        available_gib: What one volume may have.
    """

    available_gib: int
    smallest_gib: int


class Availability:
    """Reads the quotas, which hold for all zones of the organisation together."""

    def __init__(
        self, *, cloud: Cloud, default_zone: ZoneName | None, size_limits: SizeLimits
    ) -> None:
        self._cloud = cloud
        self._default_zone = default_zone
        self._size_limits = size_limits

    def room_in(self, zone: ZoneName | None, deadline: Deadline) -> Room:
        """Return what can still be made in a zone, in the default one if none is named.

        Raises:
            InvalidRequest: The zone is unknown or not in scope.
            ApiUnavailable: The quotas can't be read.
        """
        asked = (zone,) if zone else ()
        chosen = choose_zone(
            asked, in_scope=self._cloud.zones(deadline, asked), default=self._default_zone
        )
        quotas = {quota.resource: quota for quota in self._cloud.zone(chosen).list_quotas(deadline)}
        largest_gib = self._largest_gib(quotas.get(LARGEST_GIB))
        available_gib = min(_left(quotas.get(GIBIBYTES), largest_gib), largest_gib, CSI_MAX_GIB)
        if _left(quotas.get(VOLUMES), 1) < 1:
            available_gib = 0
        return Room(available_gib=available_gib, smallest_gib=self._size_limits.min_gib)

    def _largest_gib(self, quota: Quota | None) -> int:
        """Return what the quota says, or the flag where that says less (N5)."""
        flag = self._size_limits.max_gib
        if quota is None or quota.limit is None:
            return flag
        return quota.limit if flag == DEFAULT_SIZE_LIMITS.max_gib else min(flag, quota.limit)


def _left(quota: Quota | None, unlimited: int) -> int:
    if quota is None or quota.limit is None:
        return unlimited
    return max(quota.limit - quota.usage, 0)
