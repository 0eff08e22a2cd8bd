"""Run the flows on a cluster of their own.

python -m tests.kubernetes test [options of pytest]
python -m tests.kubernetes record    write tests/data/requests.json as sidecars and kubelet send it
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.kubernetes.cluster.installation import Installation
from tests.kubernetes.cluster.minors import CHOICE
from tests.kubernetes.cluster.packages import PACKAGES
from tests.support.debian_packages import install_packages
from tests.support.flow_runs import FlowRuns

_FOLDER = Path(__file__).parent
_TOGETHER = ("-m", "not alone", "--numprocesses=6", "--maxschedchunk=1")
_ALONE = ("-m", "alone")


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    match arguments:
        case ["test", *options]:
            return _test(options)
        case ["record"]:
            os.environ["GOLDEN"] = "write"
            os.environ.pop(CHOICE, None)  # those of the newest
            return _test(["-k", "test_requests or as_other_tests_do"])
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _test(options: list[str]) -> int:
    """Run the flows that get along side by side, then each of the others on its own."""
    flows = FlowRuns(_FOLDER, {"CSI_EXOBLOCK_TEST_CLUSTER": "running"})
    with _running_installation():
        for selection in (_TOGETHER, _ALONE):
            flows.run(*selection, *options)
    flows.say_failures()
    return flows.exit_code


@contextlib.contextmanager
def _running_installation() -> Iterator[None]:
    install_packages(PACKAGES)
    installation = Installation()
    try:
        installation.start()
        with installation.supervised():
            yield
    finally:
        installation.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
