"""The organisation's limits and their use: read to explain a refusal, never in a create's way."""

from __future__ import annotations

import logging

from csi_exoblock.capacity import CSI_MAX_GIB, CapacityRange, SizeLimits, choose_size_gib
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import DEFAULT_SIZE_LIMITS
from csi_exoblock.errors import DriverError, SizeOutOfRange
from csi_exoblock.exoscale.client import ZoneClient
from csi_exoblock.model import Quota

log = logging.getLogger(__name__)

VOLUMES = "block-storage-volume"
GIBIBYTES = "block-storage"
SNAPSHOTS = "block-storage-snapshot"
ATTACHMENTS = "block-storage-volume-attachments"
LARGEST_GIB = "block-storage-max-size"


def read_quotas(zone: ZoneClient, deadline: Deadline) -> dict[str, Quota]:
    """Return the quotas by resource, empty where they can't be read (N5)."""
    try:
        return {quota.resource: quota for quota in zone.list_quotas(deadline)}
    except DriverError:
        log.warning("quotas unreadable", exc_info=True)
        return {}


def exceeded(quotas: dict[str, Quota], wanted: dict[str, int]) -> str | None:
    """Say which limit the wanted amounts exceed, with limit and use, or return `None`.

    Args:
        wanted: How much more of each resource is asked for.
    """
    for resource, amount in wanted.items():
        quota = quotas.get(resource)
        if quota and quota.limit is not None and quota.usage + amount > quota.limit:
            return f"quota {resource}: {quota.usage} of {quota.limit} in use, {amount} more needed"
    return None


def above_largest(quotas: dict[str, Quota], size_gib: int) -> str | None:
    """Say which limit a volume of that size is above, or return `None`."""
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
    """Return the size in GiB for a request; the quota is asked only about what is unusual (N5).

    The documented maximum holds unless the organisation's quota allows more. Where the quota allows
    less, the API refuses, and `exceeded` explains it.

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
