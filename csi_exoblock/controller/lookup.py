"""Finding what earlier calls may have created, by name, and proving its absence (C1, C3).

A name is no key in the cloud. A POST whose answer was lost can have created the volume, and a list
can show it only `Timing.settle` later. So two lists that far apart without the name prove absence,
in a zone whose lists show what is still being created. A zone that was never seen to do so can hide
a volume until it is finished: there, `Timing.operation_stalled` must have passed as well. Nor does
a 404 within `Timing.settle` prove that something is gone which this process has just created.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Generic, TypeVar
from uuid import UUID

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.controller.labels import Labels, unmarked
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.zone_lists import ZoneLists
from csi_exoblock.errors import ApiDenied, ApiRejected, ApiUnavailable, NotFound, UnprovenAbsence
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.model import Snapshot, Volume, ZoneName
from csi_exoblock.states import SNAPSHOT_GOING, VOLUME_GOING
from csi_exoblock.timing import ControllerTiming

T = TypeVar("T", bound=Volume | Snapshot)

_PAUSE_GROWTH = 1.2  # something is seen at latest a fifth of its own age after it is shown
_GOING = (*VOLUME_GOING, *SNAPSHOT_GOING)


class Lookup(Generic[T]):
    """Finds volumes, or snapshots, by name.

    Args:
        recent: What this process created and a list may not show yet.
    """

    def __init__(
        self,
        lists: ZoneLists[T],
        get_one: Callable[[ZoneName, UUID, Deadline], T],
        *,
        recent: RecentCreations,
        labels: Labels,
        timing: ControllerTiming,
    ) -> None:
        self._lists = lists
        self._get_one = get_one
        self._recent = recent
        self._labels = labels
        self._timing = timing

    def is_blind(self) -> bool:
        """Return whether no list was read yet, so that nothing is known of what exists."""
        return self._lists.is_blind()

    def find(
        self, zones: Collection[ZoneName], names: Collection[str], entry: Entry, deadline: Deadline
    ) -> list[T]:
        """Return what has one of the names; an empty list only once nothing can turn up any more.

        Args:
            entry: The name's: it says what an earlier call may have created.

        Raises:
            ApiUnavailable: One of the zones can't be read.
            ApiRejected: The API refuses the list, and nothing can exist under the names. Otherwise
                this would be ApiUnavailable: a final answer says that there is nothing.
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
            found = found or self._recent_in(zones, names, deadline)
            certain_at = max(self._certain_at(zone, entry, looked_at) for zone in zones)
            # What is being deleted is an older one: it does not say what became of the creation.
            is_there = any(each.state not in _GOING for each in found)
            if is_there or looked_at >= certain_at:
                failure = entry.failure
                entry.resolve()
                if failure and not is_there:
                    raise failure
                return found
            logs.step("waiting until the name is surely absent")
            deadline.wait(min(certain_at - time.monotonic(), self._timing.settle))

    def find_elsewhere(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[T]:
        """Return what has one of the names and was in the zones when they were last listed.

        That can be `Timing.other_zones_age` ago, but not before this process leads (F16).
        """
        self._lists.refresh(zones, deadline)
        seen = {
            (zone, UUID(id))
            for zone in zones
            for name in names
            for id in self._lists.view(zone).ids_by_name.get(name, ())
        }
        found = [each for zone, uuid in sorted(seen) for each in self._get(zone, uuid, deadline)]
        found = found or self._recent_in(zones, names, deadline)
        return [each for each in found if not self._labels.names_of(each).isdisjoint(names)]

    def find_marked(self, zone: ZoneName, name: str, deadline: Deadline) -> list[T]:
        """Return what the last list of a zone showed under the name with any process's mark."""
        seen = [
            UUID(id)
            for listed, ids in self._lists.view(zone).ids_by_name.items()
            if unmarked(listed) == name
            for id in ids
        ]
        return [each for uuid in seen for each in self._get(zone, uuid, deadline)]

    def _lists_of(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[Listed[T]]:
        """Return the whole lists of the zones.

        Raises:
            ApiUnavailable: A zone can't be read, or refuses to be while something of one of the
                names can exist.
        """
        try:
            return self._lists.list_zones(zones, deadline)
        except (ApiDenied, ApiRejected) as error:
            was_read = all(self._lists.view(zone).first_list is not None for zone in zones)
            is_known = self._recent.has_any_named(names) or self._lists.have_shown(names)
            if is_known or not was_read:
                raise ApiUnavailable(f"what has this name can't be read: {error}") from error
            raise

    def _recent_in(
        self, zones: Collection[ZoneName], names: Collection[str], deadline: Deadline
    ) -> list[T]:
        """Return what this process created under one of the names and a list may not show yet."""
        recent = self._recent.ids_of(zones, names)
        return [each for zone, uuid in recent for each in self._get_recent(zone, uuid, deadline)]

    def _get_recent(self, zone: ZoneName, uuid: UUID, deadline: Deadline) -> list[T]:
        """Wait until what this process created must be shown; return it unless it is gone."""
        growth = _PAUSE_GROWTH
        for pause in pauses(self._timing.poll_initial, self._timing.poll_max, growth=growth):
            try:
                if found := self._get(zone, uuid, deadline):
                    return found
            except UnprovenAbsence:
                if self._recent.seconds_until_shown(zone, uuid) == 0.0:
                    raise
            if self._recent.seconds_until_shown(zone, uuid) == 0.0:
                break
            logs.step("waiting until what was made is shown")
            deadline.wait(pause)
        return []

    def _get(self, zone: ZoneName, uuid: UUID, deadline: Deadline) -> list[T]:
        try:
            return [self._get_one(zone, uuid, deadline)]
        except NotFound:
            return []

    def _certain_at(self, zone: ZoneName, entry: Entry, looked_at: float) -> float:
        """Return from when on a list of the zone without the name proves absence."""
        if not entry.is_doubtful():
            return looked_at
        view = self._lists.view(zone)
        if entry.lost is None:  # a process that died may have sent a creation before this one began
            return (view.first_list or looked_at) + self._timing.settle
        if entry.absent_at is None:
            entry.absent_at = looked_at
        certain_at = entry.absent_at + self._timing.settle
        if entry.lost.has_ended or view.shows_unfinished:
            return certain_at
        return max(certain_at, entry.lost.at + self._timing.operation_stalled)
