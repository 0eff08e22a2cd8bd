"""The one memory of work in flight: who holds which volume or name, and what is not settled.

A call that ends early (its deadline, a lost answer) leaves in the ledger what it had under way, and
the next call for the same key takes it up from there instead of starting again (S3, S5, C1). All of
it may be lost with the process: the cloud's own state is the truth, the ledger only saves looking.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, Holds
from csi_exoblock.config import Timing
from csi_exoblock.controller.refusals import ending
from csi_exoblock.errors import (
    ApiDenied,
    ApiError,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    OperationPending,
)
from csi_exoblock.exoscale.operations import OperationWaiter
from csi_exoblock.model import (
    Operation,
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
    ZoneName,
)
from csi_exoblock.states import OperationState

log = logging.getLogger(__name__)

NOT_FINAL = (ApiUnavailable, DeadlineExceeded, OperationPending)
"""Errors after which the caller asks again with the same arguments."""


@dataclass(slots=True, kw_only=True)
class LostWrite:
    """A write whose answer never came.

    Attributes:
        at: When it was sent or lost, in seconds of the monotonic clock.
        shown_by: Tells from the volume as read since whether the write took effect; `None` for a
            creation, which only a list can show.
        has_ended: Whether the API says that it has ended; if not, it may still be going on.
    """

    at: float
    shown_by: Callable[[Volume], bool] | None
    has_ended: bool = False

    def shows_in(self, volume: Volume) -> bool:
        """Tell whether the volume, as read since, shows that the write took effect."""
        return self.shown_by is not None and self.shown_by(volume)

    def seconds(self) -> float:
        """Return how long ago the answer was lost."""
        return time.monotonic() - self.at


@dataclass(slots=True, kw_only=True)
class Entry:
    """What is under way for one key; only the call that holds the key may touch it.

    Attributes:
        operation: Accepted by the API, its end not yet seen.
        lost: The write whose effect is unknown.
        absent_at: When a lost creation was first looked for in vain (monotonic seconds).
        zone: Where a creation under way was sent.
        created: What a creation of ours made, until it is usable or surely gone.
        named_at: When the API named what it made (monotonic seconds).
        has_failed: Whether the operation of that creation ended in failure.
        failure: How a creation failed that may have left something under its name.
        doubtful_until: Until when a process that died before us may have sent the creation.
        blind: Whether this process has read no list yet, so that it can't know of what exists.
        left_at: When the last call let go of it, infinite while one holds it (monotonic seconds).
    """

    operation: Operation | None = None
    lost: LostWrite | None = None
    absent_at: float | None = None
    zone: ZoneName | None = None
    created: VolumeId | SnapshotId | None = None
    named_at: float = 0.0
    has_failed: bool = False
    failure: DriverError | None = None
    doubtful_until: float = 0.0
    blind: bool = False
    left_at: float = math.inf

    def has_pending(self) -> bool:
        """Tell whether the next call must know what this one left under way."""
        return not (self.operation is None and self.lost is None and self.created is None)

    def is_doubtful(self) -> bool:
        """Tell whether something may exist or happen in the cloud that nobody has seen yet."""
        return self.has_pending() or time.monotonic() < self.doubtful_until

    def leaves_open(self, error: DriverError) -> bool:
        """Tell whether after the error something may exist, or still come, that nobody has seen.

        A refused read tells nothing as long as a process that died may have sent a creation, or
        made it and no list was read since.
        """
        if self.has_pending() or isinstance(error, NOT_FINAL):
            return True
        return (self.is_doubtful() or self.blind) and isinstance(error, ApiError)

    def settle(self) -> None:
        """Forget a lost write: its effect was seen, or can't come any more."""
        self.lost = self.absent_at = self.failure = None
        self.doubtful_until = 0.0
        self.blind = False

    def name(self, made: VolumeId | SnapshotId) -> None:
        """Remember what the API says that a creation makes."""
        if self.created != made:
            self.created = made
            self.has_failed = False
            self.named_at = time.monotonic()

    def lose(
        self,
        *,
        shown_by: Callable[[Volume], bool] | None = None,
        at: float | None = None,
        has_ended: bool = False,
    ) -> None:
        """Remember a write as sent whose outcome is unknown; it was lost now, unless told when."""
        at = time.monotonic() if at is None else at
        self.lost = LostWrite(at=at, shown_by=shown_by, has_ended=has_ended)
        self.absent_at = None

    @contextmanager
    def sending(self, *, shown_by: Callable[[Volume], bool] | None = None) -> Iterator[None]:
        """Count the write that the block sends as lost, unless its answer comes."""
        self.lose(shown_by=shown_by)
        try:
            yield
        except DriverError as error:
            if not (isinstance(error, ApiUnavailable) and error.may_have_effect):
                self.settle()
            raise
        self.settle()


class Ledger:
    """Every key that a call holds, and what earlier calls left under way."""

    def __init__(self, *, waiter: OperationWaiter, timing: Timing) -> None:
        self._waiter = waiter
        self._timing = timing
        self._names_settled_at = time.monotonic() + timing.startup_unsettled
        self._holds = Holds()
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # the one left longest ago first

    @contextmanager
    def hold(self, thing: str) -> Iterator[Entry]:
        """Hold a thing, named by kind and id, for the length of the block.

        While the outcome of a write is open, no error that leaves the block is final: whoever asked
        must not believe that nothing was left behind (C1).

        Raises:
            OperationPending: Another call holds it; the message says which, since when, at what.
        """
        with self._holds.hold(thing):
            with self._lock:
                entry = self._entries.setdefault(thing, Entry())
                entry.left_at = math.inf
            try:
                yield entry
            except DriverError as error:
                if entry.leaves_open(error) and not isinstance(error, NOT_FINAL):
                    raise ApiUnavailable(f"{thing}: outcome not known yet: {error}") from error
                raise
            finally:
                self._let_go(thing, entry)

    def _let_go(self, thing: str, entry: Entry) -> None:
        """Keep what the next call must know, but not for ever: many a call is never repeated."""
        with self._lock:
            if entry.has_pending():
                entry.left_at = time.monotonic()
                self._entries.move_to_end(thing)
            else:
                del self._entries[thing]
            oldest = time.monotonic() - self._timing.abandoned_after
            while self._entries and next(iter(self._entries.values())).left_at < oldest:
                self._entries.popitem(last=False)

    def oldest_hold_seconds(self) -> float:
        """Return the age of the oldest hold, 0.0 while nothing is held."""
        return self._holds.oldest_seconds()

    @contextmanager
    def hold_name(self, thing: str, *, blind: bool) -> Iterator[Entry]:
        """Hold a name under which something is to be created.

        Just after a start every name is doubtful: a process that died may have sent its creation.

        Args:
            blind: Whether this process has read no list yet.
        """
        with self.hold(thing) as entry:
            entry.doubtful_until = self._names_settled_at
            entry.blind = blind
            yield entry

    def send(
        self,
        entry: Entry,
        write: Callable[[], Operation],
        deadline: Deadline,
        *,
        shown_by: Callable[[Volume], bool] | None = None,
    ) -> Operation:
        """Send a write and return its operation in its final state.

        Raises:
            ApiUnavailable: The answer was lost, or the API did not take the write.
            DeadlineExceeded: The operation goes on; the next call joins it.
        """
        with entry.sending(shown_by=shown_by):
            entry.operation = write()
        logs.bind(operation_id=str(entry.operation.id))
        return self._end_of(entry.operation, entry, deadline)

    def join(self, entry: Entry, deadline: Deadline) -> Operation | None:
        """Wait for what an earlier call left pending and return its final state, if there is any.

        Raises:
            DeadlineExceeded: It is pending still.
        """
        if entry.operation is None:
            return None
        logs.step("joining the operation of an earlier call")
        return self._end_of(entry.operation, entry, deadline)

    def discard(
        self,
        left: Volume | Snapshot,
        delete: Callable[[], Operation],
        entry: Entry,
        deadline: Deadline,
    ) -> None:
        """Delete what a failed creation of this process left; nobody else knows of it (C1).

        Raises:
            ApiUnavailable: It is not gone yet.
        """
        log.warning("deleting what a failed creation left", extra={left.id.noun(): left.id})
        what = f"{left.id.noun()} {left.id}, which a failed creation left, could not be deleted yet"
        try:
            ended = self.send(entry, delete, deadline)
        except (ApiRejected, ApiDenied) as error:
            raise ApiUnavailable(
                f"{what}: it is {left.state}; if it stays so, ask Exoscale's support; {error}"
            ) from error
        if ended.state is not OperationState.SUCCESS:
            raise ApiUnavailable(f"{what}: {ending(ended)}")
        entry.created = None

    def _end_of(self, operation: Operation, entry: Entry, deadline: Deadline) -> Operation:
        ended = self._waiter.wait(operation, deadline)
        entry.operation = None
        return ended
