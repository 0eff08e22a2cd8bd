"""What was seen at one moment of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What one process of the driver has at one moment.

    Attributes:
        processes: In its container, itself among them.
        unexpected: Exceptions that no rule foresaw, as its metrics count them.
        background: Exceptions of its background work, likewise.
    """

    rss_mib: float
    threads: int
    files: int
    processes: int
    unexpected: float
    background: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at everything.

    Attributes:
        hours: Since the run began.
        states: Of the driver's processes, by `<component> <pod>, process <id>`. A container that is
            started again is another process.
        mounts: All on the host.
        volume_mounts: Those that show a volume: two for each that a pod uses.
        loop_devices: Those of the cloud's volumes: one for each that is attached.
        attached: The volumes that the cloud has attached.
        leases: In the driver's namespace.
        lease_changes: How often these have changed hands.
        actions: What users have done so far.
        calls: Calls of the API since the sample before, by operation, that the cloud has served.
        disturbed: Those that it refused or dropped.
        events: New Kubernetes events since the sample before, by type and reason.
    """

    hours: float
    states: Mapping[str, State]
    mounts: int
    volume_mounts: int
    loop_devices: int
    attached: int
    leases: int
    lease_changes: int
    actions: int
    calls: Mapping[str, int]
    disturbed: int
    events: Mapping[str, int]
