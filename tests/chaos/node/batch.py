"""Run many schedules one after the other, on one host."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.chaos.fleet import Fleet
from tests.chaos.node import schedule, table, tools
from tests.chaos.node.kubelet import PATIENCE_SECONDS
from tests.chaos.node.matrix import GRIDS
from tests.chaos.node.mutants import MUTANTS
from tests.chaos.node.steps import Steps
from tests.chaos.node.world import FLAGS
from tests.chaos.suites import Result, Suite

_SHORT_PATIENCE_SECONDS = 5.0


@contextmanager
def stage() -> Iterator[tuple[pathlib.Path, Fleet, Steps]]:
    """Provide what starts drivers and what they find on their PATH; leave nothing mounted."""
    with tempfile.TemporaryDirectory(prefix="chaos-node-") as made:
        folder = pathlib.Path(made)
        (folder / "tools").mkdir()
        tools.install(folder / "tools")
        path = f"{folder / 'tools'}:{os.environ['PATH']}"
        try:
            with (
                Steps(folder / "steps.sock") as steps,
                Fleet(
                    folder,
                    tampering="tests.chaos.node.tampering",
                    arguments=FLAGS,
                    environment={"PATH": path},
                ) as fleet,
            ):
                yield folder, fleet, steps
        finally:
            unmount_below(folder)


def run_seeds(
    seeds: Sequence[int], mutant: str = "", *, patient: bool = True, told: bool = False
) -> Iterator[Result]:
    """Run schedules one after the other."""
    patience_seconds = PATIENCE_SECONDS if patient else _SHORT_PATIENCE_SECONDS
    with stage() as (folder, fleet, steps):
        for seed in seeds:
            began = time.monotonic()
            own = folder / str(seed)
            own.mkdir()
            outcome = schedule.run(
                seed,
                own,
                fleet=fleet,
                steps=steps,
                mutant=mutant,
                patience_seconds=patience_seconds,
            )
            unmount_below(own)
            assert not steps.failures, steps.failures
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


def unmount_below(folder: pathlib.Path) -> None:
    """Unmount what a broken driver, or a broken harness, has left."""
    for each in reversed(table.mounted_below(folder)):
        subprocess.run(["umount", each.target], check=False, capture_output=True)


SUITE = Suite(run_seeds=run_seeds, mutants=tuple(MUTANTS), grids=GRIDS)
