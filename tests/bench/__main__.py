"""Measure the driver: python -m tests.bench [--only lifecycle,node] [--quick] [--to FOLDER]

The whole takes about a quarter of an hour and writes docs/benchmarks.md with its pictures; a part
of it, or --quick, which only tries the harness, writes to build/bench. Ctrl-C leaves nothing.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence

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
    for name, why in report.failed.items():
        print(f"could not be measured: {name}: {why}")
    return 1 if report.failed else 0


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
