"""The durations that a user can set, each with its flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingFlag:
    """The flag of a duration that a user can set; most fields of `Timing` have none.

    Attributes:
        text: The help text.
        may_be_zero: Whether zero is allowed, which means not to wait at all.
    """

    flag: str
    text: str
    may_be_zero: bool = False


# By the names of `Timing`'s fields.
SERVER_TIMING: Mapping[str, TimingFlag] = {
    "shutdown_timeout": TimingFlag(
        flag="--shutdown-timeout",
        text="How long to wait after SIGTERM for running calls to finish.",
        may_be_zero=True,
    )
}
CLOUD_TIMING: Mapping[str, TimingFlag] = {
    "api_timeout": TimingFlag(
        flag="--api-timeout", text="How long to wait for the answer to one API request."
    ),
    "create_timeout": TimingFlag(
        flag="--create-timeout", text="How long a call that creates, deletes or expands can take."
    ),
    "attach_timeout": TimingFlag(
        flag="--attach-timeout", text="How long a call that attaches can take."
    ),
    "detach_timeout": TimingFlag(
        flag="--detach-timeout", text="How long a call that detaches can take."
    ),
    "pending_growth_ttl": TimingFlag(
        flag="--deferred-expansion-ttl",
        text="Age at which a pending expansion is given up; must exceed csi-resizer's "
        "--retry-interval-max.",
    ),
}
PRE_STOP_TIMING: Mapping[str, TimingFlag] = {
    "pre_stop_timeout": TimingFlag(
        flag="--pre-stop-timeout",
        text="How long to wait for the volumes of a drained node to be detached.",
        may_be_zero=True,
    )
}
ORPHANS_TIMING: Mapping[str, TimingFlag] = {
    "orphan_age": TimingFlag(
        flag="--min-age",
        text="Minimum age of the volumes and snapshots shown; younger ones can be unfinished.",
        may_be_zero=True,
    )
}
NODE_TIMING: Mapping[str, TimingFlag] = {
    "device_wait": TimingFlag(
        flag="--device-wait-timeout",
        text="How long to wait for the disk of an attached volume to appear.",
        may_be_zero=True,
    ),
    "new_volume_window": TimingFlag(
        flag="--new-volume-window",
        text="Maximum age of a volume that is formatted although it reads as random data.",
        may_be_zero=True,
    ),
    "device_in_use": TimingFlag(
        flag="--device-in-use-timeout",
        text="How long to wait for processes using a mount before unmount fails.",
        may_be_zero=True,
    ),
}
