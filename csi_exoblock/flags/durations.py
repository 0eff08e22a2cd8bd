"""The durations that a user may set, each with its flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingFlag:
    """The flag of a duration that a user may set; the rest of `Timing` is the driver's own.

    Attributes:
        may_be_zero: Whether not to wait at all makes sense.
    """

    flag: str
    text: str
    may_be_zero: bool = False


# By the names of `Timing`'s fields.
SERVER_TIMING: Mapping[str, TimingFlag] = {
    "shutdown_timeout": TimingFlag(
        flag="--shutdown-timeout",
        text="How long running calls may take to finish after SIGTERM.",
        may_be_zero=True,
    )
}
CLOUD_TIMING: Mapping[str, TimingFlag] = {
    "api_timeout": TimingFlag(flag="--api-timeout", text="Longest wait for an answer of the API."),
    "create_timeout": TimingFlag(
        flag="--create-timeout", text="Longest call that creates, deletes or expands."
    ),
    "attach_timeout": TimingFlag(flag="--attach-timeout", text="Longest call that attaches."),
    "detach_timeout": TimingFlag(flag="--detach-timeout", text="Longest call that detaches."),
    "pending_growth_ttl": TimingFlag(
        flag="--deferred-expansion-ttl",
        text="Age at which an expansion that waits for the next attach is given up; must exceed "
        "the resizer's --retry-interval-max.",
    ),
}
PRE_STOP_TIMING: Mapping[str, TimingFlag] = {
    "pre_stop_timeout": TimingFlag(
        flag="--pre-stop-timeout",
        text="How long the volumes of a node that is drained are waited for.",
        may_be_zero=True,
    )
}
ORPHANS_TIMING: Mapping[str, TimingFlag] = {
    "orphan_age": TimingFlag(
        flag="--min-age",
        text="What is younger may be in the making, and is not shown.",
        may_be_zero=True,
    )
}
NODE_TIMING: Mapping[str, TimingFlag] = {
    "device_wait": TimingFlag(
        flag="--device-wait-timeout",
        text="How long a disk is waited for that is not there yet.",
        may_be_zero=True,
    ),
    "new_volume_window": TimingFlag(
        flag="--new-volume-window",
        text="Age up to which a volume that reads as noise may be new, and be formatted.",
        may_be_zero=True,
    ),
    "device_in_use": TimingFlag(
        flag="--device-in-use-timeout",
        text="How long is waited for whoever still uses what is unmounted.",
        may_be_zero=True,
    ),
}
