"""Run many schedules one after the other, on one cloud and one fleet."""

from __future__ import annotations

import pathlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.chaos import schedule
from tests.chaos.fleet import Fleet
from tests.chaos.matrix import GRID
from tests.chaos.mutants import MUTANTS
from tests.chaos.plan import ZONES
from tests.chaos.sidecars import PATIENCE_SECONDS
from tests.chaos.suites import Result, Suite
from tests.chaos.world import FLAGS, TIME_SCALE
from tests.support.simulator_process import SimulatorProcess

_SHORT_PATIENCE_SECONDS = 10.0


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
            tampering="tests.chaos.tampering",
            arguments=(*FLAGS, "--api-endpoint", cloud.api_endpoint, "--default-zone", ZONES[0]),
            environment=cloud.environment,
        ) as fleet,
    ):
        yield cloud, fleet


def run_seeds(
    seeds: Sequence[int], mutant: str = "", *, patient: bool = True, told: bool = False
) -> Iterator[Result]:
    """Run schedules one after the other."""
    patience_seconds = PATIENCE_SECONDS if patient else _SHORT_PATIENCE_SECONDS
    with stage() as (cloud, fleet):
        for seed in seeds:
            began = time.monotonic()
            outcome = schedule.run(
                seed, cloud=cloud, fleet=fleet, mutant=mutant, patience_seconds=patience_seconds
            )
            breaches = outcome.story.breaches
            log = fleet.log.read_text() if told else ""
            yield Result(
                seed=seed,
                breaches=breaches,
                story=f"{outcome.story}\n{log}" if breaches or told else "",
                seconds=time.monotonic() - began,
                cells=outcome.cells,
                counts=outcome.counts,
            )


SUITE = Suite(run_seeds=run_seeds, mutants=tuple(MUTANTS), grids=(GRID,))
