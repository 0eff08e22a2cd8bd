"""Break the driver in one place after another, and see that its tests notice.

python -m tests.mutants                      every break, rooms with changes first
python -m tests.mutants --sample 30 --seed 7 thirty of them, drawn by seed
python -m tests.mutants --room node          one room's
python -m tests.mutants NAME ...             these
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.breaks import REPOSITORY, Break, all_breaks
from tests.mutants.workshop import Outcome, Verdict, Workshop

_LAST_LINES = 30


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return 1 if a break went unnoticed or could not be tried."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--room", action="append", default=[])
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args(arguments)
    chosen = _chosen(given.names, given.room)
    if given.sample:
        print(f"{given.sample} of {len(chosen)} breaks, seed {given.seed}")
        chosen = random.Random(given.seed).sample(chosen, min(given.sample, len(chosen)))
    began = time.monotonic()
    verdicts = Counter(each.verdict for each in _outcomes(chosen, given.jobs))
    killed = verdicts[Verdict.KILLED]
    print(f"{killed} of {len(chosen)} breaks noticed in {time.monotonic() - began:.0f} s")
    print(f"{killed} passed, {len(chosen) - killed} failed")
    return 0 if killed == len(chosen) else 1


def _chosen(names: Sequence[str], rooms: Sequence[str]) -> list[Break]:
    """Return the breaks to try; those of changed rooms first."""
    known = all_breaks()
    if unknown := set(names) - {each.name for each in known}:
        sys.exit(f"no such break: {', '.join(sorted(unknown))}")
    changed = set(_changed_rooms())
    chosen = [
        each
        for each in known
        if not each.equivalent
        and (not names or each.name in names)
        and (not rooms or each.room in rooms)
    ]
    return sorted(chosen, key=lambda each: each.room not in changed)


def _changed_rooms() -> Iterator[str]:
    """Yield the rooms that differ from the last commit, or were changed by it."""
    for difference in (["HEAD"], ["HEAD~1", "HEAD"]):
        listed = subprocess.run(
            ["git", "diff", "--name-only", *difference, "--", "csi_exoblock"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,  # the first commit has none before it; then the order does not matter
        )
        for line in listed.stdout.splitlines():
            yield line.removeprefix("csi_exoblock/").partition("/")[0].removesuffix(".py")


def _outcomes(breaks: Sequence[Break], jobs: int) -> Iterator[Outcome]:
    """Yield and print what became of each break.

    Several are tried at once, each in a copy of the repository of its own. A test that fails
    without the break, too, has not noticed it: what failed runs once more at the end.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        workshops = [Workshop(Path(folder) / str(number)) for number in range(jobs)]
        free: SimpleQueue[Workshop] = SimpleQueue()
        for each in workshops:
            free.put(each)

        def try_out(broken: Break) -> Outcome:
            workshop = free.get()
            try:
                return workshop.try_out(broken)
            finally:
                free.put(workshop)

        with ThreadPoolExecutor(jobs) as pool:
            tried = as_completed([pool.submit(try_out, each) for each in breaks])
            outcomes = [_told(done.result()) for done in tried]
        noticed_by = {each.noticed_by for each in outcomes if each.noticed_by}
        failing = workshops[0].failing(noticed_by, jobs=jobs)
        for outcome in outcomes:
            if outcome.noticed_by in failing:
                output = f"fails without the break too:\n{failing[outcome.noticed_by]}"
                yield _told(dataclasses.replace(outcome, verdict=Verdict.UNUSABLE, output=output))
            else:
                yield outcome


def _told(outcome: Outcome) -> Outcome:
    """Print what became of a break, and return that."""
    broken = outcome.broken
    print(
        f"{outcome.verdict:<9} {outcome.seconds:5.0f} s  {broken.room:<11} {broken.name}"
        f" ({broken.rules})",
        flush=True,
    )
    if outcome.verdict is Verdict.UNUSABLE:
        print("\n".join(outcome.output.splitlines()[-_LAST_LINES:]), flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
