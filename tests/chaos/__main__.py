"""Run schedules of faults, many a minute.

python -m tests.chaos controller run 0:300 [--jobs 2]     seeds from..to; or node
python -m tests.chaos node story SEED [MUTANT]            one seed, with its whole story
python -m tests.chaos node prove [MUTANT ...]             the harness finds every broken driver
python -m tests.chaos controller kill [SCENE ...]         kill it at each step of the scenes

A story ends with the drivers' log; CHAOS_LOG_LEVEL=debug says how much of it there is.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.chaos.fleet import LOG_LEVEL
from tests.chaos.grid import Cells
from tests.chaos.suites import (
    NAMES,
    PROVING_SEEDS,
    Result,
    broken_in,
    first_finding,
    results_of,
    scenes_of,
    suite_of,
)
from tests.support.children import die_with_parent

_CHUNK = 25
_ENOUGH_FOR_EVERY_CELL = 1000


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m tests.chaos",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suite", choices=NAMES)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("seeds", type=_seeds, nargs="?", default=range(300))
    run.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    story = commands.add_parser("story")
    story.add_argument("seed", type=int)
    story.add_argument("mutant", nargs="?", default="")
    prove = commands.add_parser("prove")
    prove.add_argument("mutants", nargs="*")
    kill = commands.add_parser("kill")
    kill.add_argument("scenes", nargs="*")
    given = parser.parse_args(arguments)
    match given.command:
        case "run":
            return _run(given.suite, given.seeds, given.jobs)
        case "story":
            mutants = _known("mutant", [given.mutant], ["", *suite_of(given.suite).mutants])
            return _tell(given.suite, given.seed, mutants[0])
        case "kill":
            return _kill(given.suite, _known("scene", given.scenes, scenes_of(given.suite)))
        case _:
            mutants = _known("mutant", given.mutants, suite_of(given.suite).mutants)
            return _prove(given.suite, mutants)


def _known(what: str, given: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the names that were given, or all; end if one is not known."""
    if unknown := set(given) - set(known):
        print(f"no {what} {', '.join(sorted(unknown))}; there are", *known, sep="\n  ")
        sys.exit(2)
    return given or known


def _run(name: str, seeds: range, jobs: int) -> int:
    began = time.monotonic()
    cells: Cells = Counter()
    counts: Counter[str] = Counter()
    broken: list[Result] = []
    done = 0
    with multiprocessing.get_context("spawn").Pool(jobs, die_with_parent) as pool:
        chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
        for results in pool.imap_unordered(functools.partial(results_of, name), chunks):
            for result in results:
                done += 1
                cells += result.cells
                counts += result.counts
                if result.breaches:
                    broken.append(result)
                    print(f"\nseed {result.seed}: {'; '.join(dict.fromkeys(result.breaches))}")
                    print(result.story, flush=True)
            minutes = (time.monotonic() - began) / 60
            print(
                f"{done} schedules, {done / minutes:.0f} a minute, {len(broken)} broken", flush=True
            )
    empty: list[tuple[str, str]] = []
    for grid in suite_of(name).grids:
        print(*grid.table(cells), sep="\n")
        if len(seeds) >= _ENOUGH_FOR_EVERY_CELL:
            empty += grid.empty_cells(cells)
    print(dict(counts))
    if empty:
        print("never happened:", ", ".join(f"{kind} x {column}" for kind, column in empty))
    print("broken seeds:", *(result.seed for result in broken) if broken else ["none"])
    return 1 if broken or empty else 0


def _tell(name: str, seed: int, mutant: str) -> int:
    os.environ.setdefault(LOG_LEVEL, "info")
    (result,) = suite_of(name).run_seeds([seed], mutant, told=True)
    print(result.story)
    return 1 if result.breaches else 0


def _kill(name: str, scenes: Sequence[str]) -> int:
    broken = 0
    for scene in scenes:
        findings = broken_in(name, scene)
        broken += len(findings)
        print(f"{scene}:", *findings or ["nothing is broken"], sep="\n  ", flush=True)
    return 1 if broken else 0


def _prove(name: str, mutants: Sequence[str]) -> int:
    missed = 0
    with multiprocessing.get_context("spawn").Pool(len(mutants), die_with_parent) as pool:
        findings = pool.imap(functools.partial(first_finding, name), mutants)
        for mutant, found in zip(mutants, findings, strict=True):
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
