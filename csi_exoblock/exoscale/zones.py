"""The zones that exist: those that the API has listed, and at first those that flags name (S12).

A list that lacks a zone does not prove that the zone is gone. If it did, the volumes of that zone
would be reported as deleted and detached although they exist.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.config import ApiSettings
from csi_exoblock.errors import (
    ApiDenied,
    ApiError,
    ApiUnavailable,
    DriverError,
    HostError,
    NotFound,
)
from csi_exoblock.model import ZoneName
from csi_exoblock.timing import CloudTiming

log = logging.getLogger(__name__)

_SOME_ZONES = (ZoneName("ch-gva-2"), ZoneName("de-fra-1"))  # every zone's endpoint lists all zones
_MOST_ZONES = 100  # more than the cloud will ever have


class Zones:
    """The zones of the cloud.

        zones.in_scope(deadline)             # asks ch-gva-2, which does not answer, then de-fra-1
        zones.in_scope(deadline)             # answers from memory
        ...                                  # an hour later: reads the list again in the background
        zones.in_scope(deadline, ["at-vie-3"])  # a zone not known yet: reads the list again
        zones.require("at-vie-9", deadline)  # reads the list again, then raises ApiUnavailable
        ...                                  # the API's list lacks de-fra-1, by mistake
        zones.knows("de-fra-1")              # True: a zone that was listed once stays known

    Args:
        list_zones: Asks one zone which zones exist.
    """

    def __init__(
        self,
        *,
        list_zones: Callable[[ZoneName], Sequence[ZoneName]],
        settings: ApiSettings,
        timing: CloudTiming,
    ) -> None:
        self._list_zones = list_zones
        self._timing = timing
        self._only = None if "{zone}" in settings.endpoint else settings.default_zone
        self._scope = (self._only,) if self._only else settings.zones
        default = (settings.default_zone,) if settings.default_zone else ()
        self._configured = tuple(dict.fromkeys((*default, *self._scope)))
        self._known: tuple[ZoneName, ...] = ()
        self._answered: tuple[ZoneName, ...] = ()  # at most one: that which did last
        self._read_at = 0.0
        self._shared_read = SharedCall(self._read, name="list-zones", seconds_between=self._between)

    def in_scope(self, deadline: Deadline, asked: Collection[ZoneName] = ()) -> Sequence[ZoneName]:
        """Return the zones in scope.

        A list older than `Timing.zones_age` serves while it is read again, as a zone that does not
        answer can delay that. A zone that was listed once counts as existing from then on.

        Args:
            asked: Zones of which the caller needs one. If none of them is known yet, the list is
                read again first.

        Raises:
            ApiDenied: The list was never read, and each zone refuses the key now.
            ApiUnavailable: The list was never read and can't be read now, or a flag names a zone
                that it lacks.
        """
        if not self._known or self._unlisted() or (asked and not self._knows_one_of(asked)):
            self._shared_read.get(deadline)
        elif time.monotonic() - self._read_at > self._timing.zones_age:
            self._read_in_background()
        if unlisted := self._unlisted():
            raise ApiUnavailable(
                f"zone {', '.join(unlisted)} does not exist, says the API, but --zones or "
                f"--default-zone names it; it lists {', '.join(self._known)}; correct the flag",
                may_have_effect=False,
            )
        return self._scope or self._known

    def is_bounded(self, zone: ZoneName) -> bool:
        """Return whether a zone is known or named by a flag; there are few of those."""
        return zone in self._known or zone in self._configured

    def knows(self, zone: ZoneName) -> bool:
        """Return whether the API has ever listed a zone, in scope or not."""
        return zone in self._known

    def require(self, zone: ZoneName, deadline: Deadline) -> None:
        """Raise ApiUnavailable unless a zone exists, so that no made-up id becomes part of a URL.

        Until the list has been read once, a zone that a flag names counts as existing.
        """
        if self._only and zone != self._only:
            raise ApiUnavailable(
                f"zone {zone} can't be reached: the API endpoint serves zone {self._only} only",
                may_have_effect=False,
            )
        if zone in self._known:
            return
        try:
            self._shared_read.get(deadline)
        except (ApiError, NotFound):
            if self._known or zone not in self._configured:
                raise
            return
        if zone not in self._known:
            raise ApiUnavailable(
                f"zone {zone} is not among those that the API lists ({', '.join(self._known)}), so "
                "nothing is known of what is in it; the zones are read again at the next call",
                may_have_effect=False,
            )

    def _between(self) -> float:
        return self._timing.zones_apart if self._known else 0.0

    def _unlisted(self) -> list[ZoneName]:
        return [zone for zone in self._configured if zone not in self._known]

    def _knows_one_of(self, zones: Collection[ZoneName]) -> bool:
        return any(zone in self._known for zone in zones)

    def _read_in_background(self) -> None:
        try:
            self._shared_read.begin()
        except HostError as error:  # the next call tries again
            log.warning("no thread to list zones", extra={"error": str(error)})

    def _read(self) -> None:
        """Ask the zones one by one for the list of zones, until one answers (S12).

        Raises:
            ApiDenied: The list was never read, and each zone refuses the key now.
            ApiUnavailable: The list was never read, and no zone answers now.
        """
        failures: list[DriverError] = []
        for asked in self._zones_to_ask():
            try:
                self._learn(self._list_zones(asked))
                self._answered = (asked,)
                break
            except (ApiError, NotFound) as error:
                log.warning("list of zones not read", extra={"zone": asked, "error": str(error)})
                failures.append(error)
        else:
            if not self._known:
                _give_up(failures)
        self._read_at = time.monotonic()

    def _learn(self, listed: Sequence[ZoneName]) -> None:
        if lost := [zone for zone in self._known if zone not in listed]:
            log.warning("zones no longer listed, but still used", extra={"zones": ",".join(lost)})
        self._known = tuple(dict.fromkeys((*self._known, *listed)))[:_MOST_ZONES]
        if unlisted := self._unlisted():
            log.error("flags name zones that do not exist", extra={"zones": ",".join(unlisted)})

    def _zones_to_ask(self) -> Sequence[ZoneName]:
        if self._only:
            return (self._only,)
        zones = self._known or (*self._configured, *_SOME_ZONES)
        return tuple(dict.fromkeys((*self._answered, *zones)))


def _give_up(failures: Sequence[DriverError]) -> NoReturn:
    """Raise ApiDenied if every zone refused the key, otherwise ApiUnavailable."""
    last = failures[-1]
    if all(isinstance(each, ApiDenied) for each in failures):
        raise last
    raise ApiUnavailable(f"no zone tells which zones exist: {last}") from last
