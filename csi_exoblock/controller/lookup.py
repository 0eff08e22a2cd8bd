"""Finding by name what may have been created, and being sure when it was not (C1).

A name is no key in the cloud: a POST whose answer was lost may have made the thing, and a list may
show it only `Timing.settle` later. Two lists that far apart without the name are proof of absence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.ledger import Entry
from csi_exoblock.model import ZoneName

T = TypeVar("T")


class Lookup(Generic[T]):
    """Looks through the shared lists of one kind of resource."""

    def __init__(
        self, list_all: Callable[[ZoneName, Deadline], Sequence[T]], *, timing: Timing
    ) -> None:
        self._list_all = list_all
        self._timing = timing
        self._first_looks: dict[ZoneName, float] = {}

    def look(self, zone: ZoneName, deadline: Deadline) -> Sequence[T]:
        """Return the whole list of a zone, never older than this call.

        Called once at start, it lets the names of the first creates settle sooner.
        """
        began = time.monotonic()
        everything = self._list_all(zone, deadline)
        self._first_looks.setdefault(zone, began)
        return everything

    def find(
        self, zone: ZoneName, matches: Callable[[T], bool], entry: Entry, deadline: Deadline
    ) -> list[T]:
        """Return what matches; nothing only once it is certain that nothing will turn up.

        Raises:
            DeadlineExceeded: The call's time ended before that was certain.
        """
        while True:
            logs.step("looking for the name")
            looked_at = time.monotonic()
            found = [each for each in self.look(zone, deadline) if matches(each)]
            certain_at = self._certain_at(zone, entry, looked_at)
            if found or looked_at >= certain_at:
                entry.settle()
                return found
            logs.step("waiting until the name is surely absent")
            deadline.wait(certain_at - time.monotonic())

    def _certain_at(self, zone: ZoneName, entry: Entry, looked_at: float) -> float:
        if not entry.is_doubtful():
            return looked_at
        if entry.lost is None:
            return self._first_looks[zone] + self._timing.settle
        if entry.absent_at is None:
            entry.absent_at = looked_at
        return entry.absent_at + self._timing.settle
