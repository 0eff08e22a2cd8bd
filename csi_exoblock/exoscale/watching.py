"""Polling a zone's pending operations until each has ended, once for all its waiters (S3, S20)."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from uuid import UUID

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    HostError,
    NotFound,
    UnprovenAbsence,
)
from csi_exoblock.exoscale.client import ZoneClient
from csi_exoblock.exoscale.list_evidence import Finding, Resource, find, resource_of
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.exoscale.planning import Poll, Watched, plan
from csi_exoblock.exoscale.poll_schedule import Expectation
from csi_exoblock.model import Operation, Snapshot, Volume
from csi_exoblock.states import FailureReason, OperationState
from csi_exoblock.threads import begin_thread
from csi_exoblock.timing import CloudTiming

log = logging.getLogger(__name__)

ENDED = (OperationState.SUCCESS, OperationState.FAILURE, OperationState.TIMEOUT)

_FEWEST = 2  # operations from which on one short list costs less than a call for each
_ENTRIES = 500  # this number of entries in a list costs about as much as one more call
_AT_ONCE = 8  # polls of single operations
_NOT_FOUND = 2  # unproven 404s in a row after which the operation counts as absent


class ZoneWatch:
    """Polls the pending operations of one zone, in a thread that lives as long as there are any.

        watch = ZoneWatch(client, timing=timing, on_end=observe)
        first = watch.follow(attach)    # begins to poll it
        second = watch.follow(attach)   # the same future: one poll serves both callers
        deadline.result(first)          # raises DeadlineExceeded; the polling goes on
        ...                             # several attaches are due at once: one list serves them
        ...                             # the list shows the volume attached: success
        ...                             # the list does not prove it: the operation itself is polled
        deadline.result(second)         # the operation in its final state

    Args:
        on_end: Called with every operation that has ended, and how many seconds it took.
    """

    def __init__(
        self, client: ZoneClient, *, timing: CloudTiming, on_end: Callable[[Operation, float], None]
    ) -> None:
        self._client = client
        self._timing = timing
        self._on_end = on_end
        self._changed = threading.Condition()
        self._watched: dict[UUID, Watched] = {}
        self._polls: list[Poll] = []
        self._is_running = False
        self._expectations: defaultdict[str, Expectation] = defaultdict(
            lambda: Expectation(shortest_pause=timing.poll_again, longest_pause=timing.poll_max)
        )
        self._shown: dict[Resource, frozenset[str]] = dict.fromkeys(Resource, frozenset())

    def follow(self, operation: Operation) -> Future[Operation]:
        """Begin to poll an operation, unless that has begun; return a future of its final state.

        The state is also `timeout` for an operation that can't be read, or that is pending for
        longer than `Timing.operation_stalled`: the caller must then read the resource.

        Raises:
            HostError: There is no thread for polling. The next call tries again to begin one.
        """
        with self._changed:
            watched = self._watched.get(operation.id)
            if watched is None:
                watched = self._watched[operation.id] = self._begin(operation)
                self._changed.notify()
            if not self._is_running:
                begin_thread(self._run, name=f"operations-{self._client.zone}")
                self._is_running = True
            return watched.ended

    def expectation(self, kind: str) -> Expectation:
        """Return what is known of a kind of operation in this zone."""
        return self._expectations[kind]

    def _begin(self, operation: Operation) -> Watched:
        expectation, resource = self.expectation(operation.kind), resource_of(operation)
        sharing = self._sharing(resource) + 1
        due = operation.begun_at + max(expectation.first(sharing), self._timing.poll_initial)
        return Watched(
            operation=operation,
            expected_at=max(due, operation.begun_at + expectation.late),
            due=due,
            resource=resource,
            expectation=expectation,
            was_shown=resource is not None and str(operation.about) in self._shown[resource],
            sharing=sharing,
        )

    def _sharing(self, resource: Resource | None) -> int:
        """Return how many pending operations a list of the resource shows; the lock is held."""
        if resource is None:
            return 0
        return sum(each.resource is resource for each in self._watched.values())

    def _run(self) -> None:
        with self._changed:
            while self._watched:
                next_at = self._begin_polls()
                pause = None if next_at == math.inf else max(0.0, next_at - time.monotonic())
                self._changed.wait(pause)
            self._is_running = False

    def _begin_polls(self) -> float:
        """Begin the polls that are due, one thread each; return when to do so again."""
        listed = {poll.resource for poll in self._polls}
        polls, next_at = plan(
            [
                each
                for each in self._watched.values()
                if not each.is_polled and (each.resource is None or each.resource not in listed)
            ],
            time.monotonic(),
            fewest={each: _FEWEST + len(self._shown[each]) // _ENTRIES for each in Resource},
            patience_seconds=max(self._timing.poll_together, self._client.seconds_between_lists()),
        )
        for poll in polls:
            if poll.resource or len(self._polls) < _AT_ONCE:
                try:
                    begin_thread(partial(self._poll, poll), name="poll")
                except HostError as error:
                    log.warning("no thread for polling, will retry", extra={"error": str(error)})
                    return time.monotonic() + self._timing.poll_max
                self._polls.append(poll)
                for each in poll.at:
                    each.is_polled = True
        return next_at

    def _poll(self, poll: Poll) -> None:
        try:
            if poll.resource:
                self._poll_list(poll.resource, poll.at)
            else:
                self._poll_one(poll.at[0])
        except Exception as error:  # the top of a thread: the waiters raise it
            for each in poll.at:
                self._fail(each, error)
        finally:
            with self._changed:
                self._polls.remove(poll)
                for each in poll.at:
                    each.is_polled = False
                self._changed.notify()

    def _poll_one(self, watched: Watched) -> None:
        operation, polled_at = watched.operation, time.monotonic()
        try:
            seen = self._client.get_operation(operation.id, Deadline(self._timing.api_timeout))
        except (ApiUnavailable, DeadlineExceeded) as error:
            log.debug("poll failed", extra={"operation_id": operation.id, "error": str(error)})
            # No list can confirm that an operation is absent. But to read its resource is cheap,
            # and safe if it is not.
            is_404 = isinstance(error, UnprovenAbsence)
            watched.not_found = watched.not_found + 1 if is_404 else 0
            if watched.not_found >= _NOT_FOUND:
                self._give_up(watched, str(error))
            else:
                self._go_on(watched)
        except (NotFound, ApiDenied, ApiRejected) as error:
            self._give_up(watched, str(error))
        else:
            watched.not_found = 0
            if seen.state in ENDED:
                self._learn(watched, seen.state, polled_at)
                if operation.reference is None:  # some operations name what they made at their end
                    watched.operation = replace(operation, reference=seen.reference)
                self._end(watched, state=seen.state, reason=seen.reason, message=seen.message)
            else:
                self._saw_pending(watched, polled_at)
                self._go_on(watched)

    def _poll_list(self, resource: Resource, at: Sequence[Watched]) -> None:
        polled_at = time.monotonic()
        try:
            listed = self._list(resource)
        except DriverError as error:
            log.debug("list failed", extra={"zone": self._client.zone, "error": str(error)})
            is_refused = isinstance(error, ApiDenied | ApiRejected | NotFound)
            for each in at:
                each.resource = None if is_refused else resource
                self._go_on(each, len(at))
            return
        with self._changed:
            self._shown[resource] = listed.ids()
            sharing = self._sharing(resource)
        for each in at:
            try:
                seen = listed.get(each.operation.about)
            except DriverError:  # the entry can't be parsed; the operation itself can still be read
                self._ask_for_itself(each, polled_at)
            else:
                self._apply(each, seen, polled_at, sharing)

    def _list(self, resource: Resource) -> Listed[Volume] | Listed[Snapshot]:
        deadline = Deadline(self._timing.api_timeout)
        if resource is Resource.VOLUME:
            return self._client.list_volumes(deadline)
        return self._client.list_snapshots(deadline)

    def _apply(
        self, watched: Watched, seen: Volume | Snapshot | None, polled_at: float, sharing: int
    ) -> None:
        """Apply what a list proves; an operation that it leaves unclear is polled by itself."""
        finding = find(watched.operation, seen, was_shown=watched.was_shown)
        watched.was_shown = watched.was_shown or seen is not None
        if finding is Finding.SUCCEEDED:
            self._learn(watched, OperationState.SUCCESS, polled_at)
            self._end(watched, state=OperationState.SUCCESS)
        elif finding is Finding.UNDER_WAY:
            self._saw_pending(watched, polled_at)
            self._go_on(watched, sharing)
        else:
            self._ask_for_itself(watched, polled_at)

    def _ask_for_itself(self, watched: Watched, due: float) -> None:
        watched.resource, watched.due = None, due

    def _saw_pending(self, watched: Watched, polled_at: float) -> None:
        watched.seen_pending = watched.age(polled_at)

    def _learn(self, watched: Watched, state: OperationState, polled_at: float) -> None:
        if state is not OperationState.SUCCESS:
            return
        operation = watched.operation
        with self._changed:
            self.expectation(operation.kind).ended(
                begun_at=operation.begun_at,
                pending=watched.seen_pending,
                done=watched.age(polled_at),
                sharing=watched.sharing,
            )

    def _go_on(self, watched: Watched, sharing: int = 1) -> None:
        now = time.monotonic()
        if watched.age(now) >= self._timing.operation_stalled:
            self._give_up(watched, "it is pending for too long")
        else:
            with self._changed:
                watched.schedule_next(now, self._timing, sharing)

    def _give_up(self, watched: Watched, why: str) -> None:
        log.warning(
            "gave up polling an operation",
            extra={
                "operation_id": watched.operation.id,
                "kind": watched.operation.kind,
                "error": why,
            },
        )
        self._end(watched, state=OperationState.TIMEOUT)

    def _end(
        self,
        watched: Watched,
        *,
        state: OperationState,
        reason: FailureReason | None = None,
        message: str = "",
    ) -> None:
        ended = replace(watched.operation, state=state, reason=reason, message=message)
        self._on_end(ended, watched.age(time.monotonic()))
        self._remove(watched)
        watched.ended.set_result(ended)

    def _fail(self, watched: Watched, error: Exception) -> None:
        self._remove(watched)
        if not watched.ended.done():  # this poll can have ended it before it failed
            watched.ended.set_exception(error)

    def _remove(self, watched: Watched) -> None:
        with self._changed:
            self._watched.pop(watched.operation.id, None)
