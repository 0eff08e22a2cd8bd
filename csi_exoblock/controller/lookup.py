"""Finding by name what may have been created, and being sure when it was not (C1, C3).

A name is no key in the cloud: a POST whose answer was lost may have made the thing, and a list may
show it only `Timing.settle` later. Two lists that far apart without the name are proof of absence,
where lists show what is still being made. A zone that was never seen to do so may hide it until it
is done: there, `Timing.operation_stalled` must have passed as well.
Nor does a 404 within that time prove that something is gone which this process has just made.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.config import Timing
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Entry
from csi_exoblock.errors import ApiDenied, ApiRejected, ApiUnavailable, DriverError, NotFound
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.model import Snapshot, Volume, ZoneName
from csi_exoblock.states import SnapshotState, VolumeState

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Volume | Snapshot)

_GROWTH = 1.2  # something is seen at latest a fifth of its own age after it is shown
_UNFINISHED = (VolumeState.CREATING, SnapshotState.ALLOCATED, SnapshotState.CREATING)
_GOING = (
    VolumeState.DELETING,
    VolumeState.DELETED,
    SnapshotState.DESTROYING,
    SnapshotState.DESTROYED,
)


@dataclass(slots=True, kw_only=True)
class _Sight:
    """What was seen in a zone, and when (monotonic seconds).

    Attributes:
        last_try: When the last read began that has ended, also if the zone could not be read.
        shows_unfinished: Whether a list has ever shown what was still being made.
    """

    first_look: float | None = None
    last_try: float = -math.inf
    shows_unfinished: bool = False
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
        self._began = time.monotonic()
        self._searched_at = self._leads_since = -math.inf
        self._refreshing: Future[None] | None = None
        self._lock = threading.Lock()
        # what this process made and no list could show yet: when, and what; the oldest first
        self._own: defaultdict[ZoneName, OrderedDict[str, tuple[float, UUID]]] = defaultdict(
            OrderedDict
        )

    def look(self, zone: ZoneName, deadline: Deadline) -> Listed[T]:
        """Return the whole list of a zone, never older than this call.

        Called once at start, it lets the names of the first creates settle sooner.
        """
        began = time.monotonic()
        everything = self._list_all(zone, deadline)
        sight = self._sights[zone]  # kept only now: an id can name a zone that does not exist
        sight.last_try = max(sight.last_try, began)
        sight.first_look = sight.first_look or began
        if not sight.shows_unfinished:
            sight.shows_unfinished = everything.has_any_in(_UNFINISHED)
        sight.ids_by_name = everything.ids_by_name(self._labels.name_label)
        self._forget_what_was_listed(zone, began)
        return everything

    def is_blind(self) -> bool:
        """Tell whether no list was read yet, so that nobody here can know of what exists."""
        return all(sight.first_look is None for sight in list(self._sights.values()))

    def remember(self, names: Collection[str], zone: ZoneName, uuid: UUID) -> None:
        """Keep in mind what this process made, until a list of its zone must have shown it."""
        with self._lock:
            own = self._own[zone]
            for name in names:
                own[name] = (time.monotonic(), uuid)
                own.move_to_end(name)

    def forget(self, zone: ZoneName, uuid: UUID) -> None:
        """Keep something in mind no longer: this process has deleted it."""
        with self._lock:
            own = self._own[zone]
            for name in [name for name, (_, made) in own.items() if made == uuid]:
                del own[name]

    def is_remembered(self, zone: ZoneName, uuid: UUID) -> bool:
        """Tell whether this process made something that no list could show yet."""
        with self._lock:
            return any(made == uuid for _, made in self._own[zone].values())

    def seconds_until_shown(self, zone: ZoneName, uuid: UUID) -> float:
        """Return for how long a 404 may still mean that something is too new to be seen (C1).

        It may have been made by this process, or by one that died as this one began.
        """
        with self._lock:
            made_at = [at for at, made in self._own[zone].values() if made == uuid]
        at = max([self._began, *made_at])
        return max(0.0, at + self._timing.settle - time.monotonic())

    def find(
        self, zones: Collection[ZoneName], names: Collection[str], entry: Entry, deadline: Deadline
    ) -> list[T]:
        """Return what has one of the names; nothing only once nothing can turn up any more.

        Raises:
            ApiUnavailable: One of the zones can't be read.
            ApiRejected: The API refuses to tell; never for a name under which something may exist:
                a final answer would say that there is nothing.
            DriverError: There is nothing, and an earlier creation is known to have failed.
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
            is_there = any(each.state not in _GOING for each in found)  # else it is an older one
            if is_there or looked_at >= certain_at:
                failure = entry.failure
                entry.settle()
                if failure and not is_there:
                    raise failure
                return found
            logs.step("waiting until the name is surely absent")
            deadline.wait(min(certain_at - time.monotonic(), self._timing.settle))

    def find_elsewhere(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[T]:
        """Return what has one of the names and was in the zones when they were last seen.

        That may be `Timing.other_zones_age` ago, but not before this process leads: until then
        another one made volumes (F16). A zone that can't be read is asked no more often and counts
        as last seen: it must not disturb creates elsewhere (S12).
        """
        self._refresh(zones, self._oldest_usable(), deadline)
        seen = {
            (zone, id)
            for zone in zones
            for name in names
            for id in self._sights[zone].ids_by_name.get(name, ())
        }
        found = [each for zone, id in sorted(seen) for each in self._get(zone, UUID(id), deadline)]
        found = found or self._own_in(zones, names, deadline)
        return [each for each in found if self._has_name(each, names)]

    def _oldest_usable(self) -> float:
        """Return how old a list of another zone can be, in monotonic seconds.

        Nothing tells a process that it leads, but while creates keep coming no other can. After a
        pause in which another could have led, no list from before proves anything.
        """
        now = time.monotonic()
        with self._lock:
            if now - self._searched_at > self._timing.leader_away:
                self._leads_since = now
            self._searched_at = now
            return max(self._leads_since, now - self._timing.other_zones_age)

    def _refresh(self, zones: Collection[ZoneName], oldest: float, deadline: Deadline) -> None:
        """Read the zones that were last read too long ago; calls that need them wait for it."""
        while stale := [zone for zone in zones if self._sights[zone].last_try < oldest]:
            logs.step("looking for the name in other zones")
            with self._lock:
                running = self._refreshing
                if running is None:
                    mine = self._refreshing = Future[None]()
            if running:
                deadline.result(running)
                continue  # it may have read other zones, or run out of its own caller's time
            try:
                with ThreadPoolExecutor(len(stale)) as pool:
                    list(pool.map(lambda zone: self._try_to_look(zone, deadline), stale))
            finally:
                with self._lock:
                    self._refreshing = None
                mine.set_result(None)

    def _try_to_look(self, zone: ZoneName, deadline: Deadline) -> None:
        """Read a zone, or note that it can't be read.

        Raises:
            DeadlineExceeded: The call's own time ended, which says nothing about the zone.
        """
        began = time.monotonic()
        try:
            self.look(zone, deadline.within(self._timing.other_zones_wait))
        except DriverError as error:
            deadline.check()
            log.warning("zone not read", extra={"zone": zone, "error": str(error)})
            self._sights[zone].last_try = began

    def _lists_of(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[Listed[T]]:
        try:
            return self._look_everywhere(zones, deadline)
        except (ApiDenied, ApiRejected) as error:
            was_read = all(self._sights[zone].first_look is not None for zone in zones)
            if not was_read or self._knows(names):
                raise ApiUnavailable(f"what has this name can't be read: {error}") from error
            raise

    def _knows(self, names: Collection[str]) -> bool:
        """Tell whether this process has made or seen something of one of the names."""
        with self._lock:
            if any(own.keys() & names for own in self._own.values()):
                return True
            return any(sight.ids_by_name.keys() & names for sight in list(self._sights.values()))

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
            own = {
                (zone, self._own[zone][name][1])
                for zone in zones
                for name in names
                if name in self._own[zone]
            }
        return [each for zone, uuid in own for each in self._get_own(zone, uuid, deadline)]

    def _get_own(self, zone: ZoneName, uuid: UUID, deadline: Deadline) -> list[T]:
        """Return what this process made, once it must be shown; nothing if it is gone by then."""
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=_GROWTH):
            if found := self._get(zone, uuid, deadline):
                return found
            if self.seconds_until_shown(zone, uuid) == 0.0:
                break
            logs.step("waiting until what was made is shown")
            deadline.wait(pause)
        return []

    def _get(self, zone: ZoneName, uuid: UUID, deadline: Deadline) -> list[T]:
        try:
            return [self._get_one(zone, uuid, deadline)]
        except NotFound:
            return []

    def _has_name(self, thing: T, names: Collection[str]) -> bool:
        return not self._labels.names_of(thing).isdisjoint(names)

    def _forget_what_was_listed(self, zone: ZoneName, began: float) -> None:
        """Forget what a list must have shown, or what was gone by then: no clock is evidence."""
        with self._lock:
            own = self._own[zone]
            while own and next(iter(own.values()))[0] < began - self._timing.settle:
                own.popitem(last=False)

    def _certain_at(self, zone: ZoneName, entry: Entry, looked_at: float) -> float:
        if not entry.is_doubtful():
            return looked_at
        if entry.lost is None:
            return (self._sights[zone].first_look or looked_at) + self._timing.settle
        if entry.absent_at is None:
            entry.absent_at = looked_at
        certain_at = entry.absent_at + self._timing.settle
        if entry.lost.has_ended or self._sights[zone].shows_unfinished:
            return certain_at
        return max(certain_at, entry.lost.at + self._timing.operation_stalled)
