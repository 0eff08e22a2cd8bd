"""Following a creation that was sent until it is usable, or proven to have left nothing (C1).

The API can show what it created only `Timing.settle` after it named it, or only once the operation
has ended. So a 404 proves absence only if the operation has ended and that time is over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.controller.fresh_reads import send_on_fresh_read
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.refusals import ending
from csi_exoblock.controller.specs import SnapshotSpec, VolumeSpec
from csi_exoblock.controller.stalls import Stalls
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    NotFound,
    UnprovenAbsence,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Operation, Snapshot, SnapshotId, Volume, VolumeId
from csi_exoblock.states import SNAPSHOT_COMING, OperationState, SnapshotState, VolumeState
from csi_exoblock.timing import ControllerTiming

T = TypeVar("T", bound=Volume | Snapshot)

log = logging.getLogger(__name__)

_PAUSE_GROWTH = 1.2  # a state is seen at latest a fifth of its own duration after it changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """How volumes, or snapshots, are read and deleted, and what their states mean for a creation.

    Attributes:
        changing: States that do not yet tell how the creation ends. What a failed creation left can
            also be on its way out.
        is_broken: Whether the creation failed and left this, which nobody can have used.
        gone: The state of what is deleted but still shown.
        deletion: The kind of the operation that deletes one.
    """

    id_type: type[VolumeId] | type[SnapshotId]
    get: Callable[[VolumeId | SnapshotId, Deadline], T]
    delete: Callable[[VolumeId | SnapshotId, Deadline], Operation]
    changing: Collection[str]
    is_broken: Callable[[T], bool]
    gone: str
    deletion: str


def volume_kind(cloud: Cloud) -> Kind[Volume]:
    """Return how creations of volumes end; an attached volume is never what a failed one left."""
    return Kind(
        id_type=VolumeId,
        get=lambda id, deadline: cloud.zone(id.zone).get_volume(id.uuid, deadline),
        delete=lambda id, deadline: cloud.zone(id.zone).delete_volume(id.uuid, deadline),
        changing=(VolumeState.CREATING, VolumeState.DELETING),
        is_broken=lambda each: each.state is VolumeState.ERROR and each.attached_to is None,
        gone=VolumeState.DELETED,
        deletion="delete-block-storage-volume",
    )


def snapshot_kind(cloud: Cloud) -> Kind[Snapshot]:
    """Return how creations of snapshots end."""
    return Kind(
        id_type=SnapshotId,
        get=lambda id, deadline: cloud.zone(id.zone).get_snapshot(id.uuid, deadline),
        delete=lambda id, deadline: cloud.zone(id.zone).delete_snapshot(id.uuid, deadline),
        changing=(
            *SNAPSHOT_COMING,
            SnapshotState.DESTROYING,
            SnapshotState.UNKNOWN,
        ),
        is_broken=lambda each: each.is_broken,
        gone=SnapshotState.DESTROYED,
        deletion="delete-block-storage-snapshot",
    )


class Creations(Generic[T]):
    """Follows creations of one kind, for the call that sent them or a later one.

    entry.operation = client.create_volume(...)             # call 1 sends it, and its time ends
    creations.resume(spec, what, explain, entry, deadline)  # call 2 waits for the operation, then
                                                            # reads what it named: usable, broken,
                                                            # another's, or nothing
    """

    def __init__(
        self,
        kind: Kind[T],
        *,
        cloud: Cloud,
        ledger: Ledger,
        labels: Labels,
        timing: ControllerTiming,
    ) -> None:
        self._kind = kind
        self._cloud = cloud
        self._ledger = ledger
        self._labels = labels
        self._timing = timing
        self._stalls = Stalls(timing=timing)

    def resume(
        self,
        spec: VolumeSpec | SnapshotSpec,
        what: str,
        explain: Callable[[Operation], DriverError],
        entry: Entry,
        deadline: Deadline,
    ) -> T | None:
        """Return what an earlier call began to create; `None` if there was none or nothing is left.

        Args:
            what: The beginning of messages: what there is not.
            explain: Returns the error for a creation that failed and left nothing.
            entry: The name's.

        Raises:
            DriverError: The creation failed and nothing is left of it.
            ApiUnavailable: How it ends is not known yet.
        """
        self._remember_reference(entry.operation, entry)
        ended = self._ledger.join(entry, deadline)
        if ended and ended.kind != self._kind.deletion:
            return self.conclude(ended, spec, what, explain, entry, deadline)
        created = self._created(spec, entry, deadline)
        if created is None and entry.failed:
            raise self._failure(entry.failed, explain, entry)
        return created

    def conclude(
        self,
        ended: Operation,
        spec: VolumeSpec | SnapshotSpec,
        what: str,
        explain: Callable[[Operation], DriverError],
        entry: Entry,
        deadline: Deadline,
    ) -> T:
        """Return what an operation created that has ended; raise as `resume` does."""
        self._remember_reference(ended, entry)
        is_readable = True
        if ended.state is OperationState.TIMEOUT:
            seen = self._wait_for_end(ended, spec, what, entry, deadline)
            ended, is_readable = seen or ended, seen is not None
        entry.has_failed = ended.state is OperationState.FAILURE
        entry.failed = ended if entry.has_failed else None
        if created := self._created(spec, entry, deadline):
            return created
        if entry.failed:
            raise self._failure(entry.failed, explain, entry)
        if not is_readable:
            entry.mark_lost(at=ended.begun_at)
            raise ApiUnavailable(
                f"{what}: operation {ended.id} can't be read, and the API shows nothing that it "
                "made; a retry looks for it"
            )
        entry.mark_lost(has_ended=True)
        raise ApiUnavailable(
            f"{what}: {ending(ended)}, and the API shows nothing that it made; a retry looks for it"
        )

    def _failure(
        self, failed: Operation, explain: Callable[[Operation], DriverError], entry: Entry
    ) -> DriverError:
        """Return the error for a creation that failed, of which nothing is left that it named."""
        failure = explain(failed)
        entry.failed = None
        if entry.lost or failed.reference is None:  # a search by name tells what is left
            entry.mark_lost(has_ended=True)
            entry.failure = failure
        return failure

    def _remember_reference(self, operation: Operation | None, entry: Entry) -> None:
        """Remember what a creation makes; a deletion names what is remembered already."""
        if operation and operation.reference and operation.kind != self._kind.deletion:
            entry.remember_created(self._kind.id_type(operation.zone, operation.reference))

    def _wait_for_end(
        self,
        given_up: Operation,
        spec: VolumeSpec | SnapshotSpec,
        what: str,
        entry: Entry,
        deadline: Deadline,
    ) -> Operation | None:
        """Return how an operation ended that is not polled any more; `None` if it can't be read.

        It can still make something, or fail when what it makes looks whole. So while the API can
        tell, no state is believed but that of a blank volume, which proves all there is to it: then
        the operation is returned as it is known.

        Raises:
            ApiUnavailable: It is still pending when the call's time ends; a retry asks again.
        """
        logs.step("asking whether the operation is pending still")
        entry.operation = given_up  # for the next call, which does not poll it as it has ended
        seen: Operation | None = given_up
        growth = _PAUSE_GROWTH
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=growth):
            if not spec.copies and self._is_final(spec, entry, deadline):
                break
            seen = self._read_operation(given_up, deadline)
            if seen is None or seen.state is not OperationState.PENDING:
                break
            try:
                deadline.wait(pause)
            except DeadlineExceeded as error:
                raise ApiUnavailable(
                    f"{what}: operation {given_up.id} is still pending; a retry goes on waiting"
                ) from error
        entry.operation = None
        return seen

    def _read_operation(self, begun: Operation, deadline: Deadline) -> Operation | None:
        """Return an operation as it ended or goes on, `None` if it can't be read."""
        try:
            seen = self._cloud.zone(begun.zone).get_operation(begun.id, deadline)
        except (NotFound, UnprovenAbsence, ApiDenied, ApiRejected):
            return None
        reference = begun.reference or seen.reference
        return replace(
            begun, state=seen.state, reason=seen.reason, message=seen.message, reference=reference
        )

    def _is_final(self, spec: VolumeSpec | SnapshotSpec, entry: Entry, deadline: Deadline) -> bool:
        """Return whether what a creation named is there, in a state that it keeps."""
        if not isinstance(entry.created, self._kind.id_type):
            return False
        try:
            made = self._kind.get(entry.created, deadline)
        except (NotFound, UnprovenAbsence):
            return False
        return self._is_of(spec, made) and made.state not in self._kind.changing

    def _created(
        self, spec: VolumeSpec | SnapshotSpec, entry: Entry, deadline: Deadline
    ) -> T | None:
        """Return what a creation named once it is usable, `None` once there is nothing."""
        read = partial(self._wait_until_final, entry, deadline)
        made = send_on_fresh_read(
            lambda seen: self._usable(spec, seen, entry, deadline), read(), read
        )
        entry.created = None
        if made:
            entry.failed = None
        return made

    def _usable(
        self, spec: VolumeSpec | SnapshotSpec, made: T | None, entry: Entry, deadline: Deadline
    ) -> T | None:
        """Return what a creation made, as it was just read; `None` if there is nothing to use.

        What came out broken, or stays half made although its operation has failed, was never used
        and nobody else knows of it: it is deleted. So is a copy whose operation has failed, in
        whatever state: content can be missing. What the API named by mistake is left alone, and
        what the creation made is looked for by its name.
        """
        if made and not self._is_of(spec, made):
            log.warning("the API named another's", extra={made.id.noun(): made.id})
            entry.mark_lost(has_ended=True)
            return None
        if made is None or made.state == self._kind.gone:
            return None
        is_unfinished = self._kind.is_broken(made) or made.state in self._kind.changing
        if is_unfinished or (entry.has_failed and spec.copies):
            self._discard(made, entry, deadline)
            return None
        return made

    def _is_of(self, spec: VolumeSpec | SnapshotSpec, made: T) -> bool:
        """Return whether a volume or snapshot has a name of the spec, and no other's labels."""
        names = self._labels.names_for(spec)
        if made.name not in names and names.isdisjoint(self._labels.names_of(made)):
            return False
        return self._labels.are_ours(made.labels) or self._labels.are_absent(made.labels)

    def _discard(self, left: T, entry: Entry, deadline: Deadline) -> None:
        """Delete what a failed creation left, unless somebody has protected it (D12)."""
        if self._labels.is_protected(left):
            raise ApiUnavailable(
                f"{left.id.noun()} {left.id}, which a failed creation left, has a label that "
                "protects it; remove the label, and a retry deletes it"
            )
        self._ledger.discard(left, partial(self._kind.delete, left.id, deadline), entry, deadline)

    def _wait_until_final(self, entry: Entry, deadline: Deadline) -> T | None:
        """Return what a creation named once its state is final, `None` once it is surely absent.

        What a failed creation left can stay half made: that is returned as well.
        """
        if not isinstance(entry.created, self._kind.id_type):
            return None
        logs.step("judging a creation by what it made")
        seen = False
        growth = _PAUSE_GROWTH
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=growth):
            try:
                made = self._kind.get(entry.created, deadline)
            except (NotFound, UnprovenAbsence) as error:
                if seen or time.monotonic() >= entry.named_at + self._timing.settle:
                    if isinstance(error, UnprovenAbsence):
                        raise
                    return None
            else:
                seen = True
                if made.state not in self._kind.changing:
                    self._stalls.forget(made.id)
                    return made
                if entry.has_failed and self._stalls.has_stalled(made):
                    return made
                self._stalls.wait(made, pause, deadline)
                continue
            deadline.wait(pause)
        raise AssertionError("pauses never end")
