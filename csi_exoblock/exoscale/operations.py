"""Waiting for the end of operations: one poller for each, shared by all who wait for it (S3)."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from uuid import UUID

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.config import Timing
from csi_exoblock.errors import ApiDenied, ApiRejected, ApiUnavailable, DeadlineExceeded, NotFound
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Operation, OperationState

log = logging.getLogger(__name__)

_GROWTH = 1.2  # an end is seen at latest a fifth of the operation's own time after it came
_ENDED = (OperationState.SUCCESS, OperationState.FAILURE, OperationState.TIMEOUT)


class OperationWaiter:
    """Polls pending operations, each in one thread that outlives the calls that wait for it."""

    def __init__(self, *, cloud: Cloud, timing: Timing, metrics: Metrics) -> None:
        self._cloud = cloud
        self._timing = timing
        self._metrics = metrics
        self._lock = threading.Lock()
        self._pending: dict[UUID, Future[Operation]] = {}

    def wait(self, operation: Operation, deadline: Deadline) -> Operation:
        """Return the operation in its final state.

        The state is `timeout` too for one that can't be polled, or that was pending for longer than
        `Timing.operation_stalled`: the resource itself must then tell.

        Raises:
            DeadlineExceeded: The deadline came first; the polling goes on, and a later wait joins.
        """
        if operation.state in _ENDED:
            return operation
        with self._lock:
            ended = self._pending.get(operation.id)
            if ended is None:
                ended = self._pending[operation.id] = Future()
                threading.Thread(
                    target=self._follow,
                    args=(operation, ended),
                    name=f"operation-{operation.id}",
                    daemon=True,
                ).start()
        return deadline.result(ended)

    def _follow(self, operation: Operation, ended: Future[Operation]) -> None:
        began = time.monotonic()
        try:
            final = self._poll(operation)
            outcome = final.reason or final.state
            self._metrics.operation_wait_seconds.labels(operation.kind, outcome).observe(
                time.monotonic() - began
            )
            ended.set_result(final)
        except Exception as error:  # the top of a thread: whoever waits gets to see it
            ended.set_exception(error)
        finally:
            with self._lock:
                del self._pending[operation.id]

    def _poll(self, operation: Operation) -> Operation:
        patience = Deadline(self._timing.operation_stalled)
        client = self._cloud.zone(operation.zone)
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=_GROWTH):
            if pause >= patience.remaining():
                break
            patience.wait(pause)
            try:
                seen = client.get_operation(operation.id, patience)
            except ApiUnavailable as error:
                log.debug("poll failed", extra={"operation_id": operation.id, "error": str(error)})
                continue
            except (NotFound, ApiDenied, ApiRejected, DeadlineExceeded) as error:
                log.warning("operation can't be polled", extra={"error": str(error)})
                break
            if seen.state in _ENDED:
                return replace(seen, kind=operation.kind)
        return replace(operation, state=OperationState.TIMEOUT)
