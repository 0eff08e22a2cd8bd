"""What the cloud holds that somebody should know of: read now and then, for metrics alone (N3)."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.health import ailments_of
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.quotas import ATTACHMENTS, GIBIBYTES, LARGEST_GIB, SNAPSHOTS, VOLUMES
from csi_exoblock.errors import DriverError
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.metrics import Metrics, Tally
from csi_exoblock.model import Quota, Volume, VolumeId, ZoneName

log = logging.getLogger(__name__)

_RESOURCES = frozenset({VOLUMES, GIBIBYTES, SNAPSHOTS, ATTACHMENTS, LARGEST_GIB})


class Survey:
    """Looks at quotas and volumes in the background, never in a call's or a scrape's way.

    Two calls every few minutes, and one more for each further zone. What can't be read keeps the
    figures that it had.
    """

    def __init__(self, *, cloud: Cloud, labels: Labels, metrics: Metrics, timing: Timing) -> None:
        self._cloud = cloud
        self._labels = labels
        self._metrics = metrics
        self._timing = timing
        self._unhealthy = Tally(metrics.unhealthy_volumes)
        self._ailing: dict[ZoneName, Counter[tuple[str, ...]]] = {}
        self._growing: dict[ZoneName, Mapping[VolumeId, float]] = {}
        metrics.show(metrics.resize_pending_volumes, lambda: len(self._growing_since()))
        metrics.show(metrics.resize_pending_oldest, self._oldest_growth_seconds)

    def look(self) -> float:
        """Look once; return the seconds until the next time."""
        try:
            self._look()
        except DriverError as error:
            log.info("the cloud is not surveyed yet", extra={"error": str(error)})
            return self._timing.readiness_max
        return self._timing.survey_interval

    def _look(self) -> None:
        zones = self._cloud.zones(Deadline(self._timing.api_timeout))
        self._look_at_quotas(zones)
        for zone in zones:
            try:
                listed = self._cloud.zone(zone).list_volumes(Deadline(self._timing.api_timeout))
                volumes = list(listed)
            except DriverError as error:
                log.info("zone not surveyed", extra={"zone": zone, "error": str(error)})
            else:
                self._note(zone, volumes)
        self._unhealthy.show(sum(self._ailing.values(), Counter()))

    def _look_at_quotas(self, zones: Sequence[ZoneName]) -> None:
        """Ask one zone after the other: the quotas are the organisation's, one answer does."""
        for zone in zones:
            try:
                quotas = self._cloud.zone(zone).list_quotas(Deadline(self._timing.api_timeout))
            except DriverError as error:
                log.info("quotas not surveyed", extra={"zone": zone, "error": str(error)})
                continue
            for quota in quotas:
                if quota.resource in _RESOURCES:
                    self._show_quota(quota)
            return

    def _show_quota(self, quota: Quota) -> None:
        limit = math.inf if quota.limit is None else quota.limit
        self._metrics.quota_limit.labels(quota.resource).set(limit)
        self._metrics.quota_usage.labels(quota.resource).set(quota.usage)

    def _note(self, zone: ZoneName, volumes: Sequence[Volume]) -> None:
        """Keep what is worth a figure; the list itself may be long."""
        self._ailing[zone] = Counter(
            (each.status, each.reason) for volume in volumes for each in ailments_of(volume)
        )
        now, before = time.monotonic(), self._growing.get(zone, {})
        self._growing[zone] = {
            volume.id: before.get(volume.id, now) for volume in volumes if self._waits(volume)
        }

    def _waits(self, volume: Volume) -> bool:
        """Return whether a growth is pending and was requested recently."""
        pending = self._labels.pending_size(volume.labels)
        if pending is None or pending.size_gib <= volume.size_gib:
            return False
        return pending.is_younger_than(self._timing.pending_growth_ttl, self._cloud.now())

    def _growing_since(self) -> list[float]:
        """Return when each growth was first seen; its label says when it was last asked for."""
        return [since for zone in list(self._growing.values()) for since in zone.values()]

    def _oldest_growth_seconds(self) -> float:
        now = time.monotonic()
        return max((now - since for since in self._growing_since()), default=0.0)
