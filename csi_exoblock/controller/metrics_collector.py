"""Quotas, pending growths, unhealthy volumes and orphans, read now and then for metrics (N3)."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.orphans import OrphanKind, OrphanSearch
from csi_exoblock.controller.quotas import ATTACHMENTS, GIBIBYTES, LARGEST_GIB, SNAPSHOTS, VOLUMES
from csi_exoblock.errors import DriverError
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.metrics import Metrics, Tally
from csi_exoblock.model import Quota, Volume, VolumeId, ZoneName
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)

_RESOURCES = frozenset({VOLUMES, GIBIBYTES, SNAPSHOTS, ATTACHMENTS, LARGEST_GIB})

_COUNTED = (OrphanKind.VOLUME, OrphanKind.SNAPSHOT, OrphanKind.TWIN)
"""Not temporary snapshots, which the driver deletes; not missing volumes, which cost nothing."""


class MetricsCollector:
    """Reads quotas and volumes in the background, so that no call and no scrape waits for them.

    One round takes two calls of the API, and one more for each further zone. A zone that can't be
    read keeps its last figures.
    """

    def __init__(
        self, *, cloud: Cloud, labels: Labels, metrics: Metrics, timing: ControllerTiming
    ) -> None:
        self._cloud = cloud
        self._labels = labels
        self._metrics = metrics
        self._timing = timing
        self._unhealthy = Tally(metrics.unhealthy_volumes)
        self._ailing: dict[ZoneName, Counter[tuple[str, ...]]] = {}
        self._growing: dict[ZoneName, Mapping[VolumeId, float]] = {}
        metrics.show(metrics.resize_pending_volumes, lambda: len(self._growing_since()))
        metrics.show(metrics.resize_pending_oldest, self._oldest_growth_seconds)

    def collect(self) -> float:
        """Read everything once; return the seconds until the next time."""
        try:
            self._collect()
        except DriverError as error:
            log.info("metrics are not collected yet", extra={"error": str(error)})
            return self._timing.readiness_max
        return self._timing.collection_interval

    def _collect(self) -> None:
        zones = self._cloud.zones(Deadline(self._timing.api_timeout))
        self._collect_quotas(zones)
        for zone in zones:
            try:
                listed = self._cloud.zone(zone).list_volumes(Deadline(self._timing.api_timeout))
                volumes = list(listed)
            except DriverError as error:
                log.info("volumes not counted", extra={"zone": zone, "error": str(error)})
            else:
                own = [each for each in volumes if not self._labels.other_cluster_of(each)]
                self._count(zone, own)
        self._unhealthy.show(sum(self._ailing.values(), Counter()))

    def _collect_quotas(self, zones: Sequence[ZoneName]) -> None:
        """Read the quotas from the first zone that answers: they are the organisation's."""
        for zone in zones:
            try:
                quotas = self._cloud.zone(zone).list_quotas(Deadline(self._timing.api_timeout))
            except DriverError as error:
                log.info("quotas not read", extra={"zone": zone, "error": str(error)})
                continue
            for quota in quotas:
                if quota.resource in _RESOURCES:
                    self._show_quota(quota)
            return

    def _show_quota(self, quota: Quota) -> None:
        limit = math.inf if quota.limit is None else quota.limit
        self._metrics.quota_limit.labels(quota.resource).set(limit)
        self._metrics.quota_usage.labels(quota.resource).set(quota.usage)

    def _count(self, zone: ZoneName, volumes: Sequence[Volume]) -> None:
        """Keep the figures of a zone, not its volumes: the list can be long."""
        self._ailing[zone] = Counter(
            (each.status, each.reason) for volume in volumes for each in volume.ailments
        )
        now, before = time.monotonic(), self._growing.get(zone, {})
        self._growing[zone] = {
            volume.id: before.get(volume.id, now) for volume in volumes if self._is_due(volume)
        }

    def _is_due(self, volume: Volume) -> bool:
        """Return whether a growth is pending and was requested recently."""
        pending = self._labels.pending_size(volume.labels)
        if pending is None or pending.size_gib <= volume.size_gib:
            return False
        return pending.is_younger_than(self._timing.pending_growth_ttl, self._cloud.now())

    def _growing_since(self) -> list[float]:
        """Return when each pending growth was first seen (monotonic seconds).

        Its label does not tell: the resizer refreshes the time with each retry.
        """
        return [since for zone in list(self._growing.values()) for since in zone.values()]

    def _oldest_growth_seconds(self) -> float:
        now = time.monotonic()
        return max((now - since for since in self._growing_since()), default=0.0)


class OrphanGauges:
    """Counts orphans; while the cloud or Kubernetes can't be read, the last figures stay."""

    def __init__(self, search: OrphanSearch, *, metrics: Metrics, timing: ControllerTiming) -> None:
        self._search = search
        self._timing = timing
        self._count = Tally(metrics.orphans)
        self._oldest = Tally(metrics.orphan_oldest)

    def collect(self, now: float) -> float:
        """Count once; return the seconds until the next time.

        Args:
            now: The cloud's time, in seconds of Unix time.
        """
        try:
            orphans = self._search.search(Deadline(self._timing.orphans_timeout))
        except DriverError as error:
            log.info("orphans not counted", extra={"error": str(error)})
            return self._timing.orphans_interval
        if orphans.unread:
            log.info("orphans not counted", extra={"error": str(dict(orphans.unread))})
            return self._timing.orphans_interval
        counts: Counter[tuple[str, ...]] = Counter({(each,): 0 for each in _COUNTED})
        ages: dict[tuple[str, ...], int] = {(each,): 0 for each in _COUNTED}
        for each in orphans.found:
            if each.kind not in _COUNTED:
                continue
            counts[(each.kind,)] += 1
            if each.created_at and not each.is_protected:
                age = int(now - each.created_at.timestamp())
                ages[(each.kind,)] = max(ages[(each.kind,)], age)
        self._count.show(counts)
        self._oldest.show(ages)
        return self._timing.orphans_interval
