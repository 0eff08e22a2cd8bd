"""The simulator's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from csi_exoblock.simulator.faults.faults import Rule
from csi_exoblock.simulator.state.durations import Latencies
from csi_exoblock.simulator.state.modes import Modes


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalInstance:
    """An instance that is this host."""

    zone: str
    id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the simulator.

    Attributes:
        port: 0 picks a free one.
        zones: At least one.
        local_instances: The instances that are this host, whose volumes become devices; an id of
            None is made from the seed.
        device_dir: The directory for links to devices.
        state_dir: The directory for disks and state; None is a temporary directory.
        persist: Whether the content of the state directory outlives the process.
        seed: The seed of ids and of chance in faults; None is a random one.
        secrets: API secrets by API key.
        time_scale: Factor for latencies, lags and delays.
    """

    host: str
    port: int
    zones: tuple[str, ...]
    latencies: Latencies
    local_instances: tuple[LocalInstance, ...]
    device_dir: Path
    state_dir: Path | None
    persist: bool
    seed: int | None
    rules: tuple[Rule, ...]
    modes: Modes
    secrets: Mapping[str, str]
    time_scale: float
