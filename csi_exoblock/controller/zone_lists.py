"""The lists of every zone: what they have shown so far, and how old they may be (C1, C3, S12)."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.errors import DriverError, HostError
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.model import Snapshot, Volume, ZoneName
from csi_exoblock.states import SNAPSHOT_COMING, VolumeState
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Volume | Snapshot)
R = TypeVar("R")

_UNFINISHED = (VolumeState.CREATING, *SNAPSHOT_COMING)


@dataclass(slots=True, kw_only=True)
class ZoneView:
    """What the lists of one zone have shown so far; times are monotonic seconds.

    Attributes:
        first_list: When the first list began; `None` before it.
        last_try: When the last list began that has ended, also if the zone could not be read.
        shows_unfinished: Whether a list has ever shown what was still being created.
        ids_by_name: From the last list.
    """

    first_list: float | None = None
    last_try: float = -math.inf
    shows_unfinished: bool = False
    ids_by_name: Mapping[str, Collection[str]] = field(default_factory=dict)


class ZoneLists(Generic[T]):
    """Lists the volumes, or the snapshots, of zones, and remembers what the lists have shown.

    Args:
        list_all: Lists a zone; each list begins after the call.
        recent: What this process created; a list ends the doubt about it.
    """

    def __init__(
        self,
        list_all: Callable[[ZoneName, Deadline], Listed[T]],
        *,
        recent: RecentCreations,
        labels: Labels,
        timing: ControllerTiming,
    ) -> None:
        self._list_all = list_all
        self._recent = recent
        self._name_label = labels.name_label
        self._timing = timing
        self._views: defaultdict[ZoneName, ZoneView] = defaultdict(ZoneView)
        self._lock = threading.Lock()
        self._refreshed_at = self._leads_since = -math.inf
        self._refreshing: Future[None] | None = None
        self._together: dict[frozenset[ZoneName], SharedCall[list[Listed[T]]]] = {}

    def list_zone(self, zone: ZoneName, deadline: Deadline) -> Listed[T]:
        """Return the whole list of a zone, which began after this call.

        The names of the first creates settle sooner if each zone is listed once at the start.
        """
        began = time.monotonic()
        everything = self._list_all(zone, deadline)
        view = self._views[zone]  # kept only now: an id can name a zone that does not exist
        view.last_try = max(view.last_try, began)
        view.first_list = view.first_list or began
        if not view.shows_unfinished:
            view.shows_unfinished = everything.has_any_in(_UNFINISHED)
        view.ids_by_name = everything.ids_by_name(self._name_label)
        self._recent.forget_shown(zone, began)
        return everything

    def list_zones(self, zones: Collection[ZoneName], deadline: Deadline) -> list[Listed[T]]:
        """Return the whole lists of several zones, all read at once.

        Callers share them: just after a start each of a hundred creates wants those of all zones,
        and none needs threads of its own for that.

        Raises:
            HostError: There are no threads for them.
        """
        if len(zones) == 1:
            return [self.list_zone(zone, deadline) for zone in zones]
        wanted = frozenset(zones)
        with self._lock:
            shared = self._together.get(wanted) or SharedCall(
                partial(self._list_together, wanted), name="volumes or snapshots of several zones"
            )
            self._together[wanted] = shared
        return shared.get(deadline)

    def view(self, zone: ZoneName) -> ZoneView:
        """Return what the lists of a zone in scope have shown."""
        return self._views[zone]

    def is_blind(self) -> bool:
        """Return whether no list was read yet, so that this process cannot know what exists."""
        return all(view.first_list is None for view in list(self._views.values()))

    def have_shown(self, names: Collection[str]) -> bool:
        """Return whether the last list of any zone showed one of the names."""
        return any(view.ids_by_name.keys() & names for view in list(self._views.values()))

    def refresh(self, zones: Collection[ZoneName], deadline: Deadline) -> None:
        """List those of the zones whose last list is too old for a create in another zone.

        Concurrent calls share the lists. A zone that can't be read keeps its view and is not asked
        again before it would be too old: it must not disturb creates elsewhere (S12).

        Raises:
            DeadlineExceeded: The call's time ended first.
        """
        oldest = self._oldest_usable()
        while stale := [zone for zone in zones if self._views[zone].last_try < oldest]:
            logs.step("looking for the name in other zones")
            with self._lock:
                running = self._refreshing
                if running is None:
                    mine = self._refreshing = Future[None]()
            if running:
                deadline.result(running)
                continue  # it may have listed other zones, or run out of its own caller's time
            try:
                of_each(stale, lambda zone: self._try_to_list(zone, deadline))
            finally:
                with self._lock:
                    self._refreshing = None
                mine.set_result(None)

    def _list_together(self, zones: Collection[ZoneName]) -> list[Listed[T]]:
        deadline = Deadline(self._timing.create_timeout)  # not that of any one caller
        return of_each(zones, lambda zone: self.list_zone(zone, deadline))

    def _oldest_usable(self) -> float:
        """Return when a list must have begun to be used for other zones (monotonic seconds).

        Nothing tells a process that it leads, but while creates keep coming no other can lead.
        After a pause in which another could have led and created, no older list proves anything.
        """
        now = time.monotonic()
        with self._lock:
            if now - self._refreshed_at > self._timing.leader_away:
                self._leads_since = now
            self._refreshed_at = now
            return max(self._leads_since, now - self._timing.other_zones_age)

    def _try_to_list(self, zone: ZoneName, deadline: Deadline) -> None:
        """List a zone, or note that it can't be read.

        Raises:
            DeadlineExceeded: The call's own time ended, which proves nothing about the zone.
        """
        began = time.monotonic()
        try:
            self.list_zone(zone, deadline.within(self._timing.other_zones_wait))
        except DriverError as error:
            deadline.check()
            log.warning("zone not read", extra={"zone": zone, "error": str(error)})
            self._views[zone].last_try = began


def of_each(zones: Collection[ZoneName], read: Callable[[ZoneName], R]) -> list[R]:
    """Return what is read in each zone, with a thread for each: one that hangs delays no other.

    Raises:
        HostError: The host has no thread left.
    """
    try:
        with ThreadPoolExecutor(len(zones)) as pool:
            return list(pool.map(read, zones))
    except RuntimeError as error:
        raise HostError(f"no thread for the lists of {len(zones)} zones: {error}") from error
