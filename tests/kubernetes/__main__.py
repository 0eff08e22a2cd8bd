"""Run the flows on a cluster of their own.

python -m tests.kubernetes test [options of pytest]
python -m tests.kubernetes record    write tests/data/requests.json as sidecars and kubelet send it
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.kubernetes.cluster.installation import Installation
from tests.kubernetes.cluster.packages import PACKAGES
from tests.support.debian_packages import install_packages

_FOLDER = Path(__file__).parent
_TOGETHER = ("-m", "not alone", "--numprocesses=6", "--maxschedchunk=1")
_ALONE = ("-m", "alone")
_NO_TESTS = 5  # pytest's exit code when options select none


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    match arguments:
        case ["test", *options]:
            return _test(options)
        case ["record"]:
            os.environ["GOLDEN"] = "write"
            return _test(["-k", "test_requests or as_other_tests_do"])
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _test(options: list[str]) -> int:
    """Run the flows that get along side by side, then each of the others on its own."""
    with _running_installation():
        codes = [_pytest(*selection, *options) for selection in (_TOGETHER, _ALONE)]
    return max(code for code in codes if code != _NO_TESTS)


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


def _pytest(*options: str) -> int:
    command = [sys.executable, "-m", "pytest", str(_FOLDER), *options]
    environment = os.environ | {"CSI_EXOBLOCK_TEST_CLUSTER": "running"}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
