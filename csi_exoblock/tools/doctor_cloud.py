"""The doctor's checks of the API: key, role, clock, zones, quotas (N11)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.quotas import GIBIBYTES, SNAPSHOTS, VOLUMES
from csi_exoblock.errors import ApiDenied, ApiRejected, DriverError, NotFound
from csi_exoblock.exoscale.client import ZoneClient
from csi_exoblock.exoscale.routes import OPERATIONS
from csi_exoblock.model import ZoneName
from csi_exoblock.tools.doctor import Check, Finding, not_checked, well, wrong
from csi_exoblock.tools.reach import Reach

_NOBODY = UUID(int=0)
"""The id of nothing: a write to it changes nothing, and shows whether the role permits it."""

# There is no way to try this without creating a volume.
_NOT_TRIED = "create-block-storage-volume"
_FULL = 0.9

_Ask = Callable[[ZoneClient, Deadline], object]

_TRIALS: Mapping[str, _Ask] = {
    "list-quotas": lambda zone, deadline: zone.list_quotas(deadline),
    "list-instances": lambda zone, deadline: zone.list_instance_ids(deadline),
    "get-instance": lambda zone, deadline: zone.get_instance(_NOBODY, deadline),
    "get-instance-type": lambda zone, deadline: zone.get_instance_size(_NOBODY, deadline),
    "get-operation": lambda zone, deadline: zone.get_operation(_NOBODY, deadline),
    "list-block-storage-volumes": lambda zone, deadline: zone.list_volumes(deadline),
    "get-block-storage-volume": lambda zone, deadline: zone.get_volume(_NOBODY, deadline),
    "update-block-storage-volume": lambda zone, deadline: zone.update_volume(
        _NOBODY, labels={}, deadline=deadline
    ),
    "delete-block-storage-volume": lambda zone, deadline: zone.delete_volume(_NOBODY, deadline),
    "attach-block-storage-volume-to-instance": lambda zone, deadline: zone.attach_volume(
        _NOBODY, _NOBODY, deadline
    ),
    "detach-block-storage-volume": lambda zone, deadline: zone.detach_volume(_NOBODY, deadline),
    "resize-block-storage-volume": lambda zone, deadline: zone.resize_volume(_NOBODY, 1, deadline),
    "create-block-storage-snapshot": lambda zone, deadline: zone.create_snapshot(
        _NOBODY, name="doctor", labels={}, deadline=deadline
    ),
    "list-block-storage-snapshots": lambda zone, deadline: zone.list_snapshots(deadline),
    "get-block-storage-snapshot": lambda zone, deadline: zone.get_snapshot(_NOBODY, deadline),
    "update-block-storage-snapshot": lambda zone, deadline: zone.update_snapshot(
        _NOBODY, labels={}, deadline=deadline
    ),
    "delete-block-storage-snapshot": lambda zone, deadline: zone.delete_snapshot(_NOBODY, deadline),
}
"""A harmless request for each operation; the check of the zones has tried the remaining one."""


class CloudChecks:
    """Checks the API with the driver's key. No existing resource is written to."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._cloud = reach.cloud
        self._timing = reach.timing

    def all(self) -> list[Check]:
        """Return the checks. A fault of an early one explains those of later ones."""
        way = "network, proxy (HTTPS_PROXY), --ca-file, --api-endpoint"
        key = "put a valid key into the Secret or the environment; a wrong clock looks the same"
        return [
            Check("zones", self._zones, f"check {way}", if_denied=key),
            Check("API", self._answers),
            Check("clock", self._clock),
            Check("role", self._role),
            Check("quotas", self._quotas),
        ]

    def _zones(self) -> Iterator[Finding]:
        names = self._reach.zones()
        way = "through a proxy" if self._reach.is_proxied else "directly"
        yield well("zones", f"in scope: {', '.join(names)}; the API is reached {way}")

    def _answers(self) -> Iterator[Finding]:
        for name in self._reach.zones():
            began = time.monotonic()
            try:
                count = len(self._cloud.zone(name).list_volumes(self._deadline()))
            except ApiDenied as error:
                yield wrong(
                    "API",
                    f"zone {name} refuses the key: {error}",
                    "put a valid key into the Secret, or give its role what "
                    "`csi-exoblock iam-role` prints",
                )
            except DriverError as error:
                yield wrong(
                    "API",
                    f"zone {name} can't be read: {error}",
                    "see ExoblockApiDown in docs/runbooks.md",
                )
            else:
                yield self._timed(name, count, time.monotonic() - began)

    def _timed(self, zone: ZoneName, count: int, seconds: float) -> Finding:
        says = f"zone {zone} lists {count} volumes in {seconds:.1f} s"
        if seconds > self._timing.doctor_slow:
            return wrong(
                "API", says, "check network and proxy, or wait: the API might be slow for everybody"
            )
        return well("API", says)

    def _clock(self) -> Iterator[Finding]:
        if not self._cloud.has_time:
            yield not_checked("clock", "the API has not told its time")
            return
        apart = self._cloud.now() - time.time()
        if abs(apart) > self._timing.clock_error:
            direction = "behind" if apart > 0 else "ahead of"
            yield wrong(
                "clock",
                f"this host's clock is {abs(apart):.0f} s {direction} the API's",
                "correct it (NTP): the API refuses signatures that are minutes old",
            )
        else:
            yield well("clock", f"{abs(apart):.0f} s away from the API's")

    def _role(self) -> Iterator[Finding]:
        name, *_ = self._reach.zones()
        permitted = ["list-zones"]
        for operation, ask in _TRIALS.items():
            try:
                ask(self._cloud.zone(name), self._deadline())
            except (NotFound, ApiRejected):
                permitted.append(operation)
            except ApiDenied as error:
                yield wrong(
                    "role",
                    f"{operation} is refused: {error}",
                    "add it to the key's role: `csi-exoblock iam-role` prints all of them",
                )
            except DriverError as error:
                yield not_checked("role", f"{operation} could not be tried: {error}")
            else:
                permitted.append(operation)
        yield well("role", f"{len(permitted)} of {len(OPERATIONS)} operations are permitted")
        yield well("role", f"{_NOT_TRIED} was not tried, because that would create a volume")

    def _quotas(self) -> Iterator[Finding]:
        name, *_ = self._reach.zones()
        for quota in self._cloud.zone(name).list_quotas(self._deadline()):
            if quota.resource not in (GIBIBYTES, VOLUMES, SNAPSHOTS):
                continue
            limit = "unlimited" if quota.limit is None else quota.limit
            says = f"{quota.resource}: {quota.usage} of {limit} in use"
            if quota.limit is not None and quota.usage >= _FULL * quota.limit:
                yield wrong("quotas", says, "delete unused resources, or ask Exoscale to raise it")
            else:
                yield well("quotas", says)

    def _deadline(self) -> Deadline:
        return Deadline(self._timing.api_timeout)
