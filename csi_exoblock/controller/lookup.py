"""Finding by name what may have been created, and being sure when it was not (C1, C3).

A name is no key in the cloud: a POST whose answer was lost may have made the thing, and a list may
show it only `Timing.settle` later. Two lists that far apart without the name are proof of absence.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Entry
from csi_exoblock.errors import ApiDenied, ApiRejected, ApiUnavailable, DeadlineExceeded, NotFound
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.model import Snapshot, Volume, ZoneName

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Volume | Snapshot)


@dataclass(slots=True, kw_only=True)
class _Sight:
    """What was seen in a zone, and when (monotonic seconds)."""

    first_look: float | None = None
    last_try: float = float("-inf")
    ids_by_name: Mapping[str, Collection[str]] = field(default_factory=dict)


class Lookup(Generic[T]):
    """Looks for names in the shared lists of one kind of resource."""

    def __init__(
        self,
        list_all: Callable[[ZoneName, Deadline], Listed[T]],
        get_one: Callable[[ZoneName, UUID, Deadline], T],
        *,
        labels: Labels,
        timing: Timing,
    ) -> None:
        self._list_all = list_all
        self._get_one = get_one
        self._labels = labels
        self._timing = timing
        self._sights: defaultdict[ZoneName, _Sight] = defaultdict(_Sight)
        self._lock = threading.Lock()
        self._own: OrderedDict[str, tuple[float, ZoneName, UUID]] = OrderedDict()

    def look(self, zone: ZoneName, deadline: Deadline) -> Listed[T]:
        """Return the whole list of a zone, never older than this call.

        Called once at start, it lets the names of the first creates settle sooner.
        """
        began = time.monotonic()
        if zone in self._sights:
            self._sights[zone].last_try = began
        everything = self._list_all(zone, deadline)
        sight = self._sights[zone]  # kept only now: an id can name a zone that does not exist
        sight.last_try = max(sight.last_try, began)
        sight.first_look = sight.first_look or began
        sight.ids_by_name = everything.ids_by_name(self._labels.name_label)
        return everything

    def remember(self, names: Collection[str], zone: ZoneName, uuid: UUID) -> None:
        """Keep in mind what this process made, until every zone has been listed after it."""
        now = time.monotonic()
        with self._lock:
            for name in names:
                self._own[name] = (now, zone, uuid)
                self._own.move_to_end(name)
            while next(iter(self._own.values()))[0] < now - 2 * self._timing.other_zones_age:
                self._own.popitem(last=False)

    def find(
        self, zones: Collection[ZoneName], names: Collection[str], entry: Entry, deadline: Deadline
    ) -> list[T]:
        """Return what has one of the names; nothing only once nothing can turn up any more.

        Raises:
            ApiUnavailable: One of the zones can't be read.
            ApiRejected: The API refuses to tell; never for a name under which this process has made
                something: a final answer would say that there is nothing.
            DeadlineExceeded: The call's time ended before the absence was certain.
        """
        while True:
            logs.step("looking for the name")
            looked_at = time.monotonic()
            found = [
                each
                for one in self._lists_of(zones, names, deadline)
                for each in one.named(names, self._labels.name_label)
            ]
            found = found or self._own_in(zones, names, deadline)
            certain_at = max(self._certain_at(zone, entry, looked_at) for zone in zones)
            if found or looked_at >= certain_at:
                entry.settle()
                return found
            logs.step("waiting until the name is surely absent")
            deadline.wait(certain_at - time.monotonic())

    def find_elsewhere(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[T]:
        """Return what has one of the names and was in the zones when they were last seen.

        That may be `Timing.other_zones_age` ago. A zone that can't be read is asked no more often
        and counts as last seen: it must not disturb creates elsewhere (S12).
        """
        oldest = time.monotonic() - self._timing.other_zones_age
        stale = [zone for zone in zones if self._sights[zone].last_try < oldest]
        if stale:
            logs.step("looking for the name in other zones")
            with ThreadPoolExecutor(len(stale)) as pool:
                list(pool.map(lambda zone: self._try_to_look(zone, deadline), stale))
        seen = {
            (zone, id)
            for zone in zones
            for name in names
            for id in self._sights[zone].ids_by_name.get(name, ())
        }
        found = [each for zone, id in sorted(seen) for each in self._get(zone, UUID(id), deadline)]
        found = found or self._own_in(zones, names, deadline)
        return [each for each in found if self._has_name(each, names)]

    def _lists_of(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[Listed[T]]:
        try:
            return self._look_everywhere(zones, deadline)
        except (ApiDenied, ApiRejected) as error:
            if self._own.keys() & names:
                raise ApiUnavailable(f"what has this name can't be read: {error}") from error
            raise

    def _look_everywhere(self, zones: Collection[ZoneName], deadline: Deadline) -> list[Listed[T]]:
        """Return the whole lists of several zones, read at once."""
        if len(zones) == 1:
            return [self.look(zone, deadline) for zone in zones]
        with ThreadPoolExecutor(len(zones)) as pool:
            return list(pool.map(lambda zone: self.look(zone, deadline), zones))

    def _own_in(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[T]:
        """Return what this process made under one of the names: a list may not show it yet."""
        with self._lock:
            own = {self._own[name][1:] for name in names if name in self._own}
        return [
            each for zone, uuid in own if zone in zones for each in self._get(zone, uuid, deadline)
        ]

    def _get(self, zone: ZoneName, uuid: UUID, deadline: Deadline) -> list[T]:
        try:
            return [self._get_one(zone, uuid, deadline)]
        except NotFound:
            return []

    def _has_name(self, thing: T, names: Collection[str]) -> bool:
        return not self._labels.names_of(thing).isdisjoint(names)

    def _try_to_look(self, zone: ZoneName, deadline: Deadline) -> None:
        try:
            self.look(zone, deadline.within(self._timing.other_zones_wait))
        except (ApiUnavailable, ApiDenied, DeadlineExceeded) as error:
            log.warning("zone not read", extra={"zone": zone, "error": str(error)})

    def _certain_at(self, zone: ZoneName, entry: Entry, looked_at: float) -> float:
        if not entry.is_doubtful():
            return looked_at
        if entry.lost is None:
            return (self._sights[zone].first_look or looked_at) + self._timing.settle
        if entry.absent_at is None:
            entry.absent_at = looked_at
        return entry.absent_at + self._timing.settle
