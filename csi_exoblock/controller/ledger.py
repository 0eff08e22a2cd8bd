"""The one memory of work in flight: who holds which volume or name, and what is still pending.

A call that ends early, at its deadline or because an answer was lost, leaves its pending work here.
The next call for the same key continues it instead of starting again (S3, S5, C1). The process can
lose all of it: the cloud's own state is the truth, and the ledger only saves reads.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, Holds
from csi_exoblock.controller.pending import NOT_FINAL, Entry
from csi_exoblock.controller.refusals import ending
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    InvalidRequest,
)
from csi_exoblock.exoscale.operations import OperationWaiter
from csi_exoblock.model import Operation, Snapshot, Volume
from csi_exoblock.states import OperationState
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)


class Ledger:
    """All keys that calls hold, and the pending work that earlier calls left for each.

    with ledger.hold("volume ch-gva-2/6f…") as entry:      # call 1
        ledger.send(entry, attach, deadline)               # its deadline comes: the operation
                                                           # stays in the entry
    with ledger.hold("volume ch-gva-2/6f…") as entry:      # call 2, a minute later
        ledger.join(entry, deadline)                       # waits for the same operation
    """

    def __init__(self, *, waiter: OperationWaiter, timing: ControllerTiming) -> None:
        self._waiter = waiter
        self._timing = timing
        self._names_doubtful_until = time.monotonic() + timing.startup_unsettled
        self._holds = Holds()
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # the one left longest ago first

    @contextmanager
    def hold(self, thing: str) -> Iterator[Entry]:
        """Hold a thing, named by kind and id, for the length of the block.

        While the outcome of a write is open, no error that leaves the block is final: the caller
        must not believe that nothing was left behind (C1).

        Raises:
            OperationPending: Another call holds it; the message names that call, how long it has
                held it, and its step.
        """
        with self._holds.hold(thing):
            with self._lock:
                entry = self._entries.setdefault(thing, Entry())
                entry.left_at = math.inf
            try:
                yield entry
            except DriverError as error:
                if entry.is_open_after(error) and not isinstance(error, NOT_FINAL):
                    raise ApiUnavailable(f"{thing}: outcome not known yet: {error}") from error
                raise
            finally:
                self._let_go(thing, entry)

    @contextmanager
    def hold_name(self, thing: str, *, blind: bool) -> Iterator[Entry]:
        """Hold a name under which something is to be created.

        For a while after the start every name is doubtful: the last process can have sent a
        creation just before it died.

        Args:
            blind: Whether this process has read no list yet.
        """
        with self.hold(thing) as entry:
            entry.doubtful_until = self._names_doubtful_until
            entry.blind = blind
            yield entry

    @contextmanager
    def judging(self, thing: str) -> Iterator[None]:
        """Let the block judge a request, before the thing is held.

        A repeated request can have become invalid, because somebody has changed its class. While an
        earlier one has left work pending, that refusal is not final either (C1).
        """
        try:
            yield
        except InvalidRequest as error:
            if self.has_pending(thing):
                raise ApiUnavailable(
                    f"{thing}: {error}; but an earlier request of that name, with other arguments, "
                    "is still being carried out; restore these until it has ended"
                ) from error
            raise

    def has_pending(self, thing: str) -> bool:
        """Return whether an earlier call left work pending for a thing."""
        with self._lock:
            entry = self._entries.get(thing)
            return entry is not None and entry.has_pending()

    def oldest_hold_seconds(self) -> float:
        """Return the age of the oldest hold, 0.0 while nothing is held."""
        return self._holds.oldest_seconds()

    def send(
        self,
        entry: Entry,
        write: Callable[[], Operation],
        deadline: Deadline,
        *,
        shown_by: Callable[[Volume], bool] | None = None,
    ) -> Operation:
        """Send a write and return its operation in its final state.

        Args:
            shown_by: Returns whether the volume, as read later, shows the effect of the write.

        Raises:
            ApiUnavailable: The answer was lost, or the API did not take the write.
            DeadlineExceeded: The operation goes on; the next call joins it.
        """
        with entry.sending(shown_by=shown_by):
            entry.operation = write()
        logs.bind(operation_id=str(entry.operation.id))
        return self._wait_for(entry.operation, entry, deadline)

    def join(self, entry: Entry, deadline: Deadline) -> Operation | None:
        """Wait for the operation that an earlier call left pending, and return its final state.

        Returns `None` if there is no such operation.

        Raises:
            DeadlineExceeded: It is still pending.
        """
        if entry.operation is None:
            return None
        logs.step("joining the operation of an earlier call")
        return self._wait_for(entry.operation, entry, deadline)

    def discard(
        self,
        left: Volume | Snapshot,
        delete: Callable[[], Operation],
        entry: Entry,
        deadline: Deadline,
    ) -> None:
        """Delete what a failed creation of this process left; nobody else knows of it (C1).

        A later call joins the deletion, and sends another if it comes to nothing.

        Raises:
            ApiUnavailable: It is not gone yet.
        """
        log.warning("deleting what a failed creation left", extra={left.id.noun(): left.id})
        what = f"{left.id.noun()} {left.id}, which a failed creation left, could not be deleted yet"
        entry.has_failed = True  # also where its operation said nothing of it
        try:
            ended = self.send(entry, delete, deadline)
        except (ApiRejected, ApiDenied) as error:
            raise ApiUnavailable(
                f"{what}: it is {left.state}; if it stays so, ask Exoscale's support; {error}"
            ) from error
        if ended.state is not OperationState.SUCCESS:
            raise ApiUnavailable(f"{what}: {ending(ended)}")
        entry.created = None

    def _wait_for(self, operation: Operation, entry: Entry, deadline: Deadline) -> Operation:
        ended = self._waiter.wait(operation, deadline)
        entry.operation = None
        return ended

    def _let_go(self, thing: str, entry: Entry) -> None:
        """Keep pending work for the next call, but not for ever: some calls are never repeated."""
        with self._lock:
            if entry.has_pending():
                entry.left_at = time.monotonic()
                self._entries.move_to_end(thing)
            else:
                del self._entries[thing]
            oldest = time.monotonic() - self._timing.abandoned_after
            while self._entries and next(iter(self._entries.values())).left_at < oldest:
                self._entries.popitem(last=False)
