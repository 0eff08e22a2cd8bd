"""What becomes of a creation that was sent: a thing that can be used, or nothing at all (C1).

The API may show a thing only `Timing.settle` after it named it, or only once the operation has
ended. So a 404 is absence only where the operation has ended and that time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.config import Timing
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.refusals import ending
from csi_exoblock.controller.stalls import Stalls
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    NotFound,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Operation, Snapshot, SnapshotId, Volume, VolumeId
from csi_exoblock.states import OperationState, SnapshotState, VolumeState

T = TypeVar("T", bound=Volume | Snapshot)

_GROWTH = 1.2  # a state is seen at latest a fifth of its own duration after it changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """How things of one kind are read and deleted, and what their states mean for a creation.

    Attributes:
        under_way: States that tell nothing yet; what a failed creation left may be going.
    """

    id_type: type[VolumeId] | type[SnapshotId]
    get: Callable[[VolumeId | SnapshotId, Deadline], T]
    delete: Callable[[VolumeId | SnapshotId, Deadline], Operation]
    under_way: Collection[str]
    is_broken: Callable[[T], bool]
    gone: str


def volume_kind(cloud: Cloud) -> Kind[Volume]:
    """Return what a creation must know of volumes; one that is attached is no failed creation's."""
    return Kind(
        id_type=VolumeId,
        get=lambda id, deadline: cloud.zone(id.zone).get_volume(id.uuid, deadline),
        delete=lambda id, deadline: cloud.zone(id.zone).delete_volume(id.uuid, deadline),
        under_way=(VolumeState.CREATING, VolumeState.DELETING),
        is_broken=lambda each: each.state is VolumeState.ERROR and each.attached_to is None,
        gone=VolumeState.DELETED,
    )


def snapshot_kind(cloud: Cloud) -> Kind[Snapshot]:
    """Return what a creation must know of snapshots."""
    return Kind(
        id_type=SnapshotId,
        get=lambda id, deadline: cloud.zone(id.zone).get_snapshot(id.uuid, deadline),
        delete=lambda id, deadline: cloud.zone(id.zone).delete_snapshot(id.uuid, deadline),
        under_way=(
            SnapshotState.ALLOCATED,
            SnapshotState.CREATING,
            SnapshotState.DESTROYING,
            SnapshotState.UNKNOWN,
        ),
        is_broken=lambda each: each.is_broken,
        gone=SnapshotState.DESTROYED,
    )


class Creations(Generic[T]):
    """Sees creations of one kind through, for the call that sent them or a later one."""

    def __init__(self, kind: Kind[T], *, cloud: Cloud, ledger: Ledger, timing: Timing) -> None:
        self._kind = kind
        self._cloud = cloud
        self._ledger = ledger
        self._timing = timing
        self._stalls = Stalls(timing=timing)

    def take_up(
        self,
        what: str,
        explain: Callable[[Operation], DriverError],
        entry: Entry,
        deadline: Deadline,
    ) -> T | None:
        """Return what an earlier call began to make, `None` if none did or none is left.

        Args:
            what: The beginning of messages: what there is not.
            explain: Returns the error for a creation that failed and left nothing.

        Raises:
            DriverError: The creation failed and nothing is left of it.
            ApiUnavailable: What became of it is not known yet.
        """
        self._name(entry.operation, entry)
        if ended := self._ledger.join(entry, deadline):
            return self.conclude(ended, what, explain, entry, deadline)
        return self._outcome(entry, deadline)

    def conclude(
        self,
        ended: Operation,
        what: str,
        explain: Callable[[Operation], DriverError],
        entry: Entry,
        deadline: Deadline,
    ) -> T:
        """Return what an operation made that has ended; raise as `take_up` does."""
        self._name(ended, entry)
        entry.has_failed = ended.state is OperationState.FAILURE
        if made := self._outcome(entry, deadline):
            return made
        if ended.state is OperationState.FAILURE:
            failure = explain(ended)
            if ended.reference is None:  # only the name tells whether anything is left
                entry.mark_lost(has_ended=True)
                entry.failure = failure
            raise failure
        if ended.state is OperationState.TIMEOUT:
            self._require_ended(ended, what, entry, deadline)
        entry.mark_lost(has_ended=True)
        raise ApiUnavailable(
            f"{what}: {ending(ended)}, and the API shows nothing that it made; a retry looks for it"
        )

    def _name(self, operation: Operation | None, entry: Entry) -> None:
        if operation and operation.reference:
            entry.remember_created(self._kind.id_type(operation.zone, operation.reference))

    def _require_ended(
        self, given_up: Operation, what: str, entry: Entry, deadline: Deadline
    ) -> None:
        """Return if the operation is over although nobody could follow it to its end.

        Raises:
            ApiUnavailable: It is pending, or nobody can tell: it may make its thing yet.
        """
        logs.step("asking whether the operation is pending still")
        try:
            seen = self._cloud.zone(given_up.zone).get_operation(given_up.id, deadline)
        except (NotFound, ApiDenied, ApiRejected):
            entry.mark_lost(at=given_up.begun_at)
            raise ApiUnavailable(
                f"{what}: operation {given_up.id} can't be read, and the API shows nothing that it "
                "made; a retry looks for it"
            ) from None
        except (ApiUnavailable, DeadlineExceeded):
            entry.operation = replace(given_up, state=OperationState.PENDING)
            raise
        if seen.state is OperationState.PENDING:
            entry.operation = replace(given_up, state=OperationState.PENDING)
            raise ApiUnavailable(
                f"{what}: operation {given_up.id} is still pending; a retry goes on waiting"
            )

    def _outcome(self, entry: Entry, deadline: Deadline) -> T | None:
        """Return what a creation named, `None` once there is nothing.

        What came out broken, or stays half made although its operation has failed, was never used
        and nobody else knows of it: it is deleted.
        """
        made = self._settled(entry, deadline)
        if made and (self._kind.is_broken(made) or made.state in self._kind.under_way):
            delete = partial(self._kind.delete, made.id, deadline)
            self._ledger.discard(made, delete, entry, deadline)
            made = None
        entry.created = None
        return None if made is None or made.state == self._kind.gone else made

    def _settled(self, entry: Entry, deadline: Deadline) -> T | None:
        """Return what a creation named once it is at rest, `None` once it surely is not there.

        One that failed can stay half made: that is returned as well.
        """
        if not isinstance(entry.created, self._kind.id_type):
            return None
        logs.step("judging a creation by what it made")
        seen = False
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=_GROWTH):
            try:
                made = self._kind.get(entry.created, deadline)
            except NotFound:
                if seen or time.monotonic() >= entry.named_at + self._timing.settle:
                    return None
            else:
                seen = True
                if made.state not in self._kind.under_way:
                    self._stalls.forget(made.id)
                    return made
                if entry.has_failed and self._stalls.has_stalled(made):
                    return made
                self._stalls.wait(made, pause, deadline)
                continue
            deadline.wait(pause)
        raise AssertionError("pauses never end")
