"""Run schedules of faults against the controller, many a minute.

python -m tests.chaos run 0:300 [--jobs 2]     seeds from..to
python -m tests.chaos story SEED [MUTANT]      one seed, with its whole story
python -m tests.chaos prove [MUTANT ...]       the harness finds every broken driver
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.chaos import matrix, schedule
from tests.chaos.batch import PROVING_SEEDS, Result, first_finding, results_of, stage
from tests.chaos.mutants import MUTANTS

_ENOUGH_FOR_EVERY_CELL = 1000


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("seeds", type=_seeds, nargs="?", default=range(300))
    run.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    story = commands.add_parser("story")
    story.add_argument("seed", type=int)
    story.add_argument("mutant", nargs="?", default="", choices=["", *MUTANTS])
    prove = commands.add_parser("prove")
    prove.add_argument("mutants", nargs="*", choices=[*MUTANTS, []])
    given = parser.parse_args(arguments)
    match given.command:
        case "run":
            return _run(given.seeds, given.jobs)
        case "story":
            return _tell(given.seed, given.mutant)
        case _:
            return _prove(given.mutants or tuple(MUTANTS))


def _run(seeds: range, jobs: int) -> int:
    began = time.monotonic()
    cells: matrix.Cells = Counter()
    counts: Counter[str] = Counter()
    broken: list[Result] = []
    done = orphans = 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        chunks = [seeds[start : start + 25] for start in range(0, len(seeds), 25)]
        for results in pool.imap_unordered(results_of, chunks):
            for result in results:
                done += 1
                cells += result.cells
                counts += result.counts
                orphans += result.orphans
                if result.breaches:
                    broken.append(result)
                    print(f"\nseed {result.seed}: {'; '.join(dict.fromkeys(result.breaches))}")
                    print(result.story, flush=True)
            minutes = (time.monotonic() - began) / 60
            print(
                f"{done} schedules, {done / minutes:.0f} a minute, {len(broken)} broken", flush=True
            )
    print(*matrix.table(cells), sep="\n")
    print(f"{dict(counts)}; left where C3 allows it: {orphans}")
    empty = list(matrix.empty_cells(cells))
    if empty:
        print("never happened:", ", ".join(f"{kind} x {rpc}" for kind, rpc in empty))
    print("broken seeds:", *(result.seed for result in broken) if broken else ["none"])
    return 1 if broken or (empty and len(seeds) >= _ENOUGH_FOR_EVERY_CELL) else 0


def _tell(seed: int, mutant: str) -> int:
    with stage() as (cloud, fleet):
        outcome = schedule.run(seed, cloud=cloud, fleet=fleet, mutant=mutant)
        print(outcome.story)
        print(fleet.log.read_text())
    return 1 if outcome.story.breaches else 0


def _prove(mutants: Sequence[str]) -> int:
    missed = 0
    with multiprocessing.get_context("spawn").Pool(len(mutants)) as pool:
        for mutant, found in zip(mutants, pool.imap(first_finding, mutants), strict=True):
            if found:
                print(f"{mutant}: found by seed {found.seed}: {found.breaches[0]}", flush=True)
            else:
                missed += 1
                print(f"{mutant}: not found within {PROVING_SEEDS} seeds", flush=True)
    return 1 if missed else 0


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
