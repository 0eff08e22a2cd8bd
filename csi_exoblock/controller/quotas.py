"""The organisation's limits and their use: read to explain a refusal, never in a create's way."""

from __future__ import annotations

import logging

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DriverError
from csi_exoblock.exoscale.client import ZoneClient
from csi_exoblock.model import Quota

log = logging.getLogger(__name__)

VOLUMES = "block-storage-volume"
GIBIBYTES = "block-storage"
SNAPSHOTS = "block-storage-snapshot"
ATTACHMENTS = "block-storage-volume-attachments"


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
