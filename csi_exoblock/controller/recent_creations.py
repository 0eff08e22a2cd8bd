"""What this process created a moment ago: a list may not show it yet (C1, C3)."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection
from typing import TypeVar
from uuid import UUID

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import NotFound, UnprovenAbsence
from csi_exoblock.model import SnapshotId, VolumeId, ZoneName
from csi_exoblock.timing import ControllerTiming

T = TypeVar("T")


class RecentCreations:
    """The volumes, or the snapshots, that this process created and no list must have shown yet.

    recent.remember({"pvc-1"}, zone, uuid)        # the API has named it
    recent.ids_of([zone], {"pvc-1"})              # {(zone, uuid)}
    recent.seconds_until_shown(zone, uuid)        # 5.0: a 404 proves nothing before that
    ...                                           # 6 s later a list of the zone begins
    recent.forget_shown(zone, list_began)         # it showed the volume, unless that was gone
    recent.ids_of([zone], {"pvc-1"})              # set()
    """

    def __init__(self, *, timing: ControllerTiming) -> None:
        self._timing = timing
        self._process_began = time.monotonic()
        self._lock = threading.Lock()
        # By zone and name: when it was created (monotonic seconds) and its id, the oldest first.
        self._made: defaultdict[ZoneName, OrderedDict[str, tuple[float, UUID]]] = defaultdict(
            OrderedDict
        )

    def remember(self, names: Collection[str], zone: ZoneName, uuid: UUID) -> None:
        """Remember what this process created, until a list of its zone must have shown it."""
        with self._lock:
            made = self._made[zone]
            for name in names:
                made[name] = (time.monotonic(), uuid)
                made.move_to_end(name)

    def forget(self, zone: ZoneName, uuid: UUID) -> None:
        """Forget what this process has deleted."""
        with self._lock:
            made = self._made[zone]
            for name in [name for name, (_, id) in made.items() if id == uuid]:
                del made[name]

    def forget_shown(self, zone: ZoneName, list_began: float) -> None:
        """Forget what a list must have shown, or what was gone by then.

        Only a list is evidence; the passing of time is not.

        Args:
            list_began: When the list began (monotonic seconds).
        """
        with self._lock:
            made = self._made[zone]
            while made and next(iter(made.values()))[0] < list_began - self._timing.settle:
                made.popitem(last=False)

    def has(self, zone: ZoneName, uuid: UUID) -> bool:
        """Return whether this process created it and no list must have shown it yet."""
        with self._lock:
            return any(id == uuid for _, id in self._made[zone].values())

    def has_any_named(self, names: Collection[str]) -> bool:
        """Return whether something of one of the names is remembered, in any zone."""
        with self._lock:
            return any(made.keys() & names for made in self._made.values())

    def ids_of(
        self, zones: Collection[ZoneName], names: Collection[str]
    ) -> set[tuple[ZoneName, UUID]]:
        """Return zone and id of what is remembered in the zones under one of the names."""
        with self._lock:
            return {
                (zone, self._made[zone][name][1])
                for zone in zones
                for name in names
                if name in self._made[zone]
            }

    def seconds_until_shown(self, zone: ZoneName, uuid: UUID) -> float:
        """Return for how long a 404 can still mean that something is too new to be shown.

        This process can have created it, or one that died as this one began.
        """
        with self._lock:
            made_at = [at for at, id in self._made[zone].values() if id == uuid]
        at = max([self._process_began, *made_at])
        return max(0.0, at + self._timing.settle - time.monotonic())

    def read_once_shown(
        self, id: VolumeId | SnapshotId, read: Callable[[], T], deadline: Deadline
    ) -> T:
        """Return what reading it by its id returns; what was just created is given time to show.

        Raises:
            NotFound: It is gone.
            UnprovenAbsence: A list still shows it although it must be shown by now.
            DeadlineExceeded: The call's time ended first.
        """
        try:
            return read()
        except (NotFound, UnprovenAbsence):
            seconds = self.seconds_until_shown(id.zone, id.uuid)
            if not seconds:
                raise
        logs.step("waiting until what was just created is shown")
        deadline.wait(seconds)
        return read()
