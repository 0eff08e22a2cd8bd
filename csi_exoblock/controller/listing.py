"""Listing volumes and snapshots: completely or not at all, in pages that survive changes (S20)."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.zone_lists import ZoneLists
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    InvalidToken,
    NotFound,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.model import Snapshot, SnapshotId, Volume, VolumeId, ZoneName
from csi_exoblock.states import SnapshotState, VolumeState
from csi_exoblock.timing import ControllerTiming

T = TypeVar("T")
Thing = TypeVar("Thing", bound=Volume | Snapshot)

_MOST_LISTS = 8  # kept for their next pages; no sidecar asks for pages, and people for one list


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list.

    Attributes:
        next_token: The token for the next part; empty after the last one.
    """

    entries: Sequence[T]
    next_token: str


class Listing:
    """Lists the volumes and snapshots of all zones in scope, and reads single volumes."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        volumes: ZoneLists[Volume],
        snapshots: ZoneLists[Snapshot],
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._volumes = volumes
        self._snapshots = snapshots
        self._volume_pages = Pages[Volume](timing.page_age)
        self._snapshot_pages = Pages[Snapshot](timing.page_age)

    def volumes(self, max_entries: int, token: str, deadline: Deadline) -> Page[Volume]:
        """Return a page of all volumes of all zones in scope.

        Args:
            max_entries: 0 means all.

        Raises:
            InvalidToken: The token is not of a list that can be continued.
            ApiUnavailable: A zone can't be read; a short list would read as "detached" (S12).
        """
        self._forget_abandoned()
        return self._volume_pages.page(lambda: self._all_volumes(deadline), max_entries, token)

    def volume(self, volume_id: VolumeId, deadline: Deadline) -> Volume:
        """Return the volume.

        Raises:
            NotFound: It does not exist, or was deleted.
        """
        volume = self._cloud.zone(volume_id.zone).get_volume(volume_id.uuid, deadline)
        if volume.state is VolumeState.DELETED:
            raise NotFound(f"volume {volume_id} is {volume.state}")
        return volume

    def snapshots(
        self,
        max_entries: int,
        token: str,
        *,
        volume_id: VolumeId | None,
        snapshot_id: SnapshotId | None,
        deadline: Deadline,
    ) -> Page[Snapshot]:
        """Return a page of the snapshots that match both filters; `None` matches all.

        Raises:
            InvalidToken: The token is not of a list that can be continued.
            ApiUnavailable: A zone can't be read.
        """

        def matching() -> list[Snapshot]:
            return [
                each
                for each in self._candidates(volume_id, snapshot_id, deadline)
                if volume_id in (None, each.volume_id) and each.state is not SnapshotState.DESTROYED
            ]

        self._forget_abandoned()
        return self._snapshot_pages.page(matching, max_entries, token)

    def _forget_abandoned(self) -> None:
        """Free the memory of lists whose next page was not asked for in time."""
        self._volume_pages.forget_abandoned()
        self._snapshot_pages.forget_abandoned()

    def _all_volumes(self, deadline: Deadline) -> list[Volume]:
        return [
            volume
            for zone in self._cloud.zones(deadline)
            for volume in _whole(self._volumes, zone, deadline)
            if volume.state is not VolumeState.DELETED
        ]

    def _candidates(
        self, volume_id: VolumeId | None, snapshot_id: SnapshotId | None, deadline: Deadline
    ) -> Sequence[Snapshot]:
        if snapshot_id:
            try:
                client = self._cloud.zone(snapshot_id.zone)
                return [client.get_snapshot(snapshot_id.uuid, deadline)]
            except NotFound:
                return []
        if volume_id:
            try:
                return [*self._snapshots.list_zone(volume_id.zone, deadline)]
            except NotFound:  # there is no such zone
                return []
        zones = self._cloud.zones(deadline)
        return [each for zone in zones for each in _whole(self._snapshots, zone, deadline)]


def _whole(lists: ZoneLists[Thing], zone: ZoneName, deadline: Deadline) -> Listed[Thing]:
    """Return a zone's whole list.

    Raises:
        ApiUnavailable: It can't be read, or the zone refuses. A final code would say that the
            request is wrong, but only one zone of several refuses it (S12).
    """
    try:
        return lists.list_zone(zone, deadline)
    except (ApiDenied, ApiRejected) as error:
        raise ApiUnavailable(
            f"zone {zone} refuses its list, and a list without it would be short: {error}"
        ) from error


class Pages(Generic[T]):
    """Cuts lists into pages, and keeps the rest of a list for its next page for a while.

    Args:
        age_seconds: For how long it is kept.
    """

    def __init__(self, age_seconds: float) -> None:
        self._age_seconds = age_seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Sequence[T]]] = OrderedDict()

    def page(self, list_all: Callable[[], Sequence[T]], max_entries: int, token: str) -> Page[T]:
        """Return the page for the token; without a token, the first page of a new list."""
        rest = self._take(token) if token else list_all()
        if not max_entries or len(rest) <= max_entries:
            return Page(entries=rest, next_token="")
        return Page(entries=rest[:max_entries], next_token=self._keep(rest[max_entries:]))

    def forget_abandoned(self) -> None:
        """Forget lists that are too old to be continued."""
        oldest = time.monotonic() - self._age_seconds
        with self._lock:
            for token in [key for key, (kept_at, _) in self._kept.items() if kept_at < oldest]:
                del self._kept[token]

    def _keep(self, rest: Sequence[T]) -> str:
        token = secrets.token_urlsafe(12)
        with self._lock:
            self._kept[token] = (time.monotonic(), rest)
            while len(self._kept) > _MOST_LISTS:
                self._kept.popitem(last=False)
        return token

    def _take(self, token: str) -> Sequence[T]:
        with self._lock:
            kept_at, rest = self._kept.get(token, (0.0, ()))
        if not rest or time.monotonic() - kept_at > self._age_seconds:
            raise InvalidToken(
                f"starting_token {token[:40]!r} is unknown or too old; start the list again"
            )
        return rest
