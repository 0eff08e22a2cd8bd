"""Whether a zone keeps the labels of a create: seen at the first volume created there (C4)."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels
from csi_exoblock.errors import DriverError
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import VolumeId, ZoneName


class LabelCheck:
    """Checks once per zone whether the API keeps labels sent with a create (C4).

    Concurrent creates share the check. A zone that drops labels is checked with every volume,
    because each of them needs its labels repaired.
    """

    def __init__(self, *, cloud: Cloud, labels: Labels) -> None:
        self._cloud = cloud
        self._labels = labels
        self._lock = threading.Lock()
        self._running: dict[ZoneName, Future[bool]] = {}
        self._keeping: set[ZoneName] = set()

    def has_labels(self, created: VolumeId, deadline: Deadline) -> bool:
        """Return whether a volume surely has the labels that it was created with.

        Raises:
            DeadlineExceeded: Another call's check of the zone took too long.
        """
        with self._lock:
            if created.zone in self._keeping:
                return True
            running = self._running.get(created.zone)
            if running is None:
                mine = self._running[created.zone] = Future()
        return deadline.result(running) if running else self._check(created, mine, deadline)

    def _check(self, created: VolumeId, result: Future[bool], deadline: Deadline) -> bool:
        logs.step("checking whether the volume has its labels")
        are_kept = False
        try:
            volume = self._cloud.zone(created.zone).get_volume(created.uuid, deadline)
            are_kept = self._labels.are_ours(volume.labels)
        except DriverError:
            pass  # nothing is known: each of the waiting creates reads its own volume
        finally:
            with self._lock:
                del self._running[created.zone]
                self._keeping.update({created.zone} if are_kept else ())
            result.set_result(are_kept)
        return are_kept
