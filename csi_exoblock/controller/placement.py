"""Choosing the zone of a new volume (S12, S13)."""

from __future__ import annotations

from collections.abc import Sequence

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.specs import VolumeSpec
from csi_exoblock.errors import InvalidRequest, WrongZone
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import ResourceId, ZoneName


class Placement:
    """Chooses a zone that the request allows and the cloud has."""

    def __init__(self, *, cloud: Cloud, default_zone: ZoneName | None) -> None:
        self._cloud = cloud
        self._default_zone = default_zone

    def zone_for(self, spec: VolumeSpec, deadline: Deadline) -> ZoneName:
        """Return the zone in which the volume is to be created.

        Raises:
            InvalidRequest: No zone is named, or none of those named is in scope.
            ApiUnavailable: The API does not list the source's zone.
            WrongZone: The source is in none of the zones that the request allows.
        """
        asked: Sequence[ZoneName]
        if spec.source:
            require_accessible(spec.source, spec.zones)
            self._cloud.require(spec.source.zone, deadline)
            asked, default = (spec.source.zone,), None
        else:
            asked = spec.zones or (spec.zone_parameter and (spec.zone_parameter,)) or ()
            default = self._default_zone
        in_scope = self._cloud.zones(deadline, asked)
        return choose_zone(asked, in_scope=in_scope, default=default)


def choose_zone(
    asked: Sequence[ZoneName],
    *,
    in_scope: Sequence[ZoneName],
    default: ZoneName | None,
) -> ZoneName:
    """Return the first of the zones asked for that is in scope.

    If none is asked for, that is the default zone, or the only zone in scope.

    Raises:
        InvalidRequest: No zone is named, or none of those named is in scope.
    """
    if default and not asked:
        asked = (default,)
    if len(in_scope) == 1 and not asked:
        asked = in_scope
    if not asked:
        raise InvalidRequest(
            "no zone: the request has no topology and the class no parameter zone; "
            f"set --default-zone or the parameter to one of {', '.join(in_scope)}"
        )
    for zone in asked:
        if zone in in_scope:
            return zone
    raise InvalidRequest(
        f"zone {', '.join(asked)} is unknown or not in scope; in scope: {', '.join(in_scope)}"
    )


def is_accessible(thing: ResourceId, accessible: Sequence[ZoneName]) -> bool:
    """Return whether a volume or snapshot is in a zone that a request allows; no zones: any."""
    return not accessible or thing.zone in accessible


def require_accessible(thing: ResourceId, accessible: Sequence[ZoneName]) -> None:
    """Raise WrongZone unless a volume or snapshot is in a zone that the request allows (S13, C3).

    Then the orchestrator moves the pod to another zone.
    """
    if not is_accessible(thing, accessible):
        raise WrongZone(
            f"{thing.noun()} {thing} is in zone {thing.zone}, the request allows only "
            f"{', '.join(accessible)}; the pod must run in {thing.zone}"
        )
