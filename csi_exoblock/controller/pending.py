"""What earlier calls left pending for one volume, snapshot or name; `Ledger` keeps it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from csi_exoblock.errors import (
    ApiError,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    OperationPending,
)
from csi_exoblock.model import Operation, SnapshotId, Volume, VolumeId, ZoneName

NOT_FINAL = (ApiUnavailable, DeadlineExceeded, OperationPending)
"""Errors after which the caller repeats the call with the same arguments."""


@dataclass(slots=True, kw_only=True)
class LostWrite:
    """A write that was sent and whose answer never came.

    Attributes:
        at: When it was lost (monotonic seconds); while it is being sent, when that began.
        shown_by: Returns whether the volume, as read since, shows the effect; `None` for a
            creation, which only a list can show.
        has_ended: Whether the API says that it has ended; otherwise it can still take effect.
    """

    at: float
    shown_by: Callable[[Volume], bool] | None
    has_ended: bool = False

    def shows_in(self, volume: Volume) -> bool:
        """Return whether the volume, as read since, shows that the write took effect."""
        return self.shown_by is not None and self.shown_by(volume)

    def age_seconds(self) -> float:
        """Return how long ago the answer was lost."""
        return time.monotonic() - self.at


@dataclass(slots=True, kw_only=True)
class Entry:
    """The pending work for one key; only the call that holds the key reads or writes it.

        with entry.sending():      # a create is sent: it counts as lost ...
            post()                 # ... no answer comes: ApiUnavailable
        entry.has_pending()        # True: the next call for the name must look for the volume first
        entry.is_open_after(error) # True, for any error: none of them may be final
        entry.resolve()            # the next call has found the volume, or proved its absence

    Attributes:
        operation: The operation that the API accepted, until its end was seen.
        lost: The write whose effect is unknown.
        absent_at: When a lost creation was first looked for in vain (monotonic seconds).
        zone: Where a pending creation was sent.
        created: What a creation of this process made, until it is usable or proven gone.
        named_at: When the API named it (monotonic seconds).
        has_failed: Whether that creation failed, so that a later call deletes what stays half made.
        failed: The operation of that creation, if it failed and no call has told why.
        failure: The error of a creation that failed and can have left something under its name.
        doubtful_until: A process that died before this one can have sent a creation until then
            (monotonic seconds).
        blind: Whether this process has read no list yet, so that it cannot know what exists.
        left_at: When the last call let go of it, infinite while a call holds it (monotonic
            seconds).
    """

    operation: Operation | None = None
    lost: LostWrite | None = None
    absent_at: float | None = None
    zone: ZoneName | None = None
    created: VolumeId | SnapshotId | None = None
    named_at: float = 0.0
    has_failed: bool = False
    failed: Operation | None = None
    failure: DriverError | None = None
    doubtful_until: float = 0.0
    blind: bool = False
    left_at: float = math.inf

    def has_pending(self) -> bool:
        """Return whether the next call must continue what this one began."""
        return not (self.operation is None and self.lost is None and self.created is None)

    def is_doubtful(self) -> bool:
        """Return whether the cloud can hold, or still make, something that nobody has seen."""
        return self.has_pending() or time.monotonic() < self.doubtful_until

    def is_open_after(self, error: DriverError) -> bool:
        """Return whether the cloud can hold something unseen although the call ends in the error.

        A refused read proves nothing while a process that died can have sent a creation, or can
        have made something that no list has shown since.
        """
        if self.has_pending() or isinstance(error, NOT_FINAL):
            return True
        return (self.is_doubtful() or self.blind) and isinstance(error, ApiError)

    def resolve(self) -> None:
        """Forget a lost write, because its effect was seen or cannot come any more."""
        self.lost = self.absent_at = self.failure = None
        self.doubtful_until = 0.0
        self.blind = False

    def remember_created(self, made: VolumeId | SnapshotId) -> None:
        """Remember the id that the API gave to what a creation makes."""
        if self.created != made:
            self.created = made
            self.has_failed, self.failed = False, None
            self.named_at = time.monotonic()

    def mark_lost(
        self,
        *,
        shown_by: Callable[[Volume], bool] | None = None,
        at: float | None = None,
        has_ended: bool = False,
    ) -> None:
        """Remember a write with unknown outcome, as lost now unless `at` says when."""
        at = time.monotonic() if at is None else at
        self.lost = LostWrite(at=at, shown_by=shown_by, has_ended=has_ended)
        self.absent_at = None

    @contextmanager
    def sending(self, *, shown_by: Callable[[Volume], bool] | None = None) -> Iterator[None]:
        """Count the write that the block sends as lost until its answer comes."""
        self.mark_lost(shown_by=shown_by)
        try:
            yield
        except DriverError as error:
            if isinstance(error, ApiUnavailable) and error.may_have_effect:
                # It may have waited long for its turn, so its age counts from here.
                self.mark_lost(shown_by=shown_by)
            else:
                self.resolve()
            raise
        self.resolve()
