"""Waiting for operations to end; each is polled once for all its waiters (S3)."""

from __future__ import annotations

import threading
import time

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.exoscale.watching import ENDED, ZoneWatch
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Operation, ZoneName
from csi_exoblock.timing import CloudTiming


class OperationWaiter:
    """Waits for operations; they are polled to their end even if nobody waits any more."""

    def __init__(self, *, cloud: Cloud, timing: CloudTiming, metrics: Metrics) -> None:
        self._cloud = cloud
        self._timing = timing
        self._metrics = metrics
        self._lock = threading.Lock()
        self._watches: dict[ZoneName, ZoneWatch] = {}

    def wait(self, operation: Operation, deadline: Deadline) -> Operation:
        """Return the operation in its final state.

        An operation that can't be followed to its end also gets the state `timeout`; the caller
        must then read the resource to learn what became of it.

        Raises:
            DeadlineExceeded: The deadline came first; polling goes on, and a later wait joins it.
        """
        if operation.state in ENDED:
            return operation
        began = time.monotonic()
        try:
            return deadline.result(self._watch(operation.zone).follow(operation))
        except DeadlineExceeded:
            self._observe(operation, "deadline", time.monotonic() - began)
            raise

    def _watch(self, zone: ZoneName) -> ZoneWatch:
        with self._lock:
            if zone not in self._watches:
                self._watches[zone] = ZoneWatch(
                    self._cloud.zone(zone), timing=self._timing, on_end=self._ended
                )
            return self._watches[zone]

    def _ended(self, operation: Operation, seconds: float) -> None:
        self._observe(operation, operation.reason or operation.state, seconds)

    def _observe(self, operation: Operation, outcome: str, seconds: float) -> None:
        self._metrics.operation_wait_seconds.labels(operation.kind, outcome).observe(seconds)
