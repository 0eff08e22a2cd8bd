"""Let claims live through troubles for hours on the installed chart, and watch what grows.

python -m tests.soak HOURS [--seed N]

It adds a section to build/soak.md, with a picture, and writes the story of the run to
build/soak.log. The exit code is 1 if something is not flat, not found again or left over. Ctrl-C
ends it early: what ran is judged all the same. A second Ctrl-C leaves that out; what was seen until
ten minutes before is in build/soak-so-far.md.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Sequence

from tests.soak.run import PAGE, soak

_SEEDS = 1_000_000


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.soak")
    parser.add_argument("hours", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(_SEEDS))
    given = parser.parse_args(arguments)
    if not given.hours > 0:
        parser.error("HOURS must be above 0")
    findings = soak(given.hours, given.seed)
    print(*(findings or ["all is well"]), f"in {PAGE}", sep="\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
