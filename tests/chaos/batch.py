"""Run many schedules one after the other, on one cloud and one fleet."""

from __future__ import annotations

import pathlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.chaos import matrix, schedule
from tests.chaos.fleet import Fleet
from tests.chaos.plan import ZONES
from tests.chaos.sidecars import PATIENCE_SECONDS
from tests.chaos.world import FLAGS, TIME_SCALE
from tests.simulator_process import SimulatorProcess

PROVING_SEEDS = 200
"""Within so many the harness has to find whatever is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A schedule's outcome, as small as it gets when all went well."""

    seed: int
    breaches: tuple[str, ...]
    story: str
    seconds: float
    orphans: int
    cells: matrix.Cells
    counts: Counter[str]


@contextmanager
def stage() -> Iterator[tuple[SimulatorProcess, Fleet]]:
    """Start the cloud and what starts drivers, which serve one schedule after the other."""
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        SimulatorProcess.start(
            *("--sim-zones", ",".join(ZONES), "--local-instance", "none"),
            *("--time-scale", str(TIME_SCALE)),
        ) as cloud,
        Fleet(
            pathlib.Path(folder),
            arguments=(*FLAGS, "--api-endpoint", cloud.api_endpoint, "--default-zone", ZONES[0]),
            environment=cloud.environment,
        ) as fleet,
    ):
        yield cloud, fleet


def run_seeds(
    seeds: Sequence[int], mutant: str = "", patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Result]:
    """Run schedules one after the other."""
    with stage() as (cloud, fleet):
        for seed in seeds:
            began = time.monotonic()
            outcome = schedule.run(
                seed, cloud=cloud, fleet=fleet, mutant=mutant, patience_seconds=patience_seconds
            )
            breaches = outcome.story.breaches
            yield Result(
                seed=seed,
                breaches=breaches,
                story=str(outcome.story) if breaches else "",
                seconds=time.monotonic() - began,
                orphans=outcome.orphans,
                cells=outcome.cells,
                counts=outcome.counts,
            )


def results_of(seeds: range) -> list[Result]:
    """Run schedules in a process of their own."""
    return list(run_seeds(seeds))


def first_finding(mutant: str) -> Result | None:
    """Return the first schedule in which a broken driver is seen, None if none does."""
    return next((each for each in run_seeds(range(PROVING_SEEDS), mutant) if each.breaches), None)
