"""How the times of this cloud vary: from call to call, by stragglers, and in slow periods."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

STRAGGLERS_TIMES: Final = 10.0
"""How many times as long a straggler takes."""

DEFAULT_SPREAD: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """How times vary; nothing does by default.

    Attributes:
        spread: The standard deviation of a time's logarithm: a time is drawn from the lognormal
            distribution whose median is the latency of its kind.
        spreads: The same for single kinds.
        stragglers: The share of calls that take ten times as long.
        slow_every, slow_for: The last `slow_for` seconds of each `slow_every` are slow; 0: none.
        slow_times: How many times as long everything takes that begins in a slow period.
    """

    spread: float = 0.0
    spreads: Mapping[str, float] = field(default_factory=dict)
    stragglers: float = 0.0
    slow_every: float = 0.0
    slow_for: float = 0.0
    slow_times: float = 5.0

    def __post_init__(self) -> None:
        """Raise ValueError unless all numbers are in range."""
        for spread in (self.spread, *self.spreads.values()):
            if not 0.0 <= spread <= 3.0:
                raise ValueError(f"a spread must be from 0 to 3, not {spread}")
        if not 0.0 <= self.stragglers <= 1.0:
            raise ValueError(f"stragglers must be from 0 to 1, not {self.stragglers}")
        if not 0.0 <= self.slow_for <= self.slow_every < math.inf:
            raise ValueError("slow-for must not be negative, nor longer than slow-every")
        if not 0.0 < self.slow_times < math.inf:
            raise ValueError(f"slow-times must be above 0, not {self.slow_times}")

    def factor(self, kind: str, chance: random.Random, seconds: float) -> float:
        """Draw how many times its latency a call of that kind takes.

        Args:
            seconds: How long ago the cloud was started.
        """
        factor = math.exp(chance.gauss(0.0, self.spreads.get(kind, self.spread)))
        if chance.random() < self.stragglers:
            factor *= STRAGGLERS_TIMES
        if self.slow_every and seconds % self.slow_every >= self.slow_every - self.slow_for:
            factor *= self.slow_times
        return factor

    def as_json(self) -> dict[str, object]:
        """Return everything, as the control writes it."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}
