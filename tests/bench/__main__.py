"""Measure the driver: python -m tests.bench [--only lifecycle,node] [--quick] [--to FOLDER]

The whole takes about twenty minutes and writes docs/benchmarks.md with its pictures; a part
of it, or --quick, which only tries the harness, writes to build/bench. Ctrl-C leaves nothing.
The exit code is 1 if a figure misses what was promised and tests/bench/misses.py does not say why.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from tests.bench.figures import Goal
from tests.bench.misses import missed

_ROOT = pathlib.Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    # Before gRPC is imported: it would do things of its own in each process that is forked.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    from tests.bench.run import SECTIONS, run

    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.bench")
    parser.add_argument("--only", default="", help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--to", type=pathlib.Path)
    given = parser.parse_args(arguments)
    names = given.only.split(",") if given.only else list(SECTIONS)
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    partial = given.quick or bool(given.only)
    folder = given.to or (_ROOT / "build" / "bench" if partial else _ROOT / "docs")
    try:
        report = run(names, quick=given.quick, stopping=_stopping())
    except KeyboardInterrupt:
        print("stopped; nothing is written")
        return 130
    report.write(folder)
    for goal in report.goals():
        print(f"{'met   ' if goal.met else 'MISSED'}  {goal.what}: {goal.found} ({goal.must})")
    print(f"in {folder}: benchmarks.md, benchmarks.json, pictures")
    return verdict(report.goals(), report.failed, quick=given.quick)


def verdict(goals: Sequence[Goal], failed: Mapping[str, str], *, quick: bool) -> int:
    """Say what is wrong with a report, and return the exit code.

    Args:
        failed: Why sections could not be measured, by their names.
        quick: Whether the figures say nothing about speed, so that a miss is no error.
    """
    for name, why in failed.items():
        print(f"could not be measured: {name}: {why}")
    unknown = [goal for goal, reason in missed(goals) if not reason]
    for goal in unknown:
        print(f"missed, and not listed in tests/bench/misses.py: {goal.what}")
    return 1 if failed or (unknown and not quick) else 0


def _stopping() -> threading.Event:
    """Return what is set on Ctrl-C and SIGTERM, which both raise KeyboardInterrupt as well."""
    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopping


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
