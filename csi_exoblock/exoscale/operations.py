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
        began = time.monotonic()
        try:
            return deadline.result(self._end_of(operation))
        except DeadlineExceeded:
            self._observe(operation, "deadline", began)
            raise

    def _end_of(self, operation: Operation) -> Future[Operation]:
        with self._lock:
            if ended := self._pending.get(operation.id):
                return ended
            ended = Future()
            threading.Thread(
                target=self._follow,
                args=(operation, ended),
                name=f"operation-{operation.id}",
                daemon=True,
            ).start()
            self._pending[operation.id] = ended
            return ended

    def _follow(self, operation: Operation, ended: Future[Operation]) -> None:
        began = time.monotonic()
        try:
            final = self._poll(operation)
            self._observe(operation, final.reason or final.state, began)
            ended.set_result(final)
        except Exception as error:  # the top of a thread: whoever waits gets to see it
            ended.set_exception(error)
        finally:
            with self._lock:
                del self._pending[operation.id]

    def _observe(self, operation: Operation, outcome: str, began: float) -> None:
        self._metrics.operation_wait_seconds.labels(operation.kind, outcome).observe(
            time.monotonic() - began
        )

    def _poll(self, operation: Operation) -> Operation:
        patience = Deadline(self._timing.operation_stalled)
        client = self._cloud.zone(operation.zone)
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=_GROWTH):
            try:
                patience.wait(pause)
                seen = client.get_operation(operation.id, patience)
            except ApiUnavailable as error:
                log.debug("poll failed", extra={"operation_id": operation.id, "error": str(error)})
                continue
            except (NotFound, ApiDenied, ApiRejected, DeadlineExceeded) as error:
                log.warning(
                    "operation not followed to its end",
                    extra={
                        "operation_id": operation.id,
                        "kind": operation.kind,
                        "error": str(error),
                    },
                )
                break
            if seen.state in _ENDED:
                return replace(
                    seen, kind=operation.kind, reference=seen.reference or operation.reference
                )
        return replace(operation, state=OperationState.TIMEOUT)
