"""Install the chart on a cluster of its own and run the flows.

python -m tests.install [options of pytest]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.packages import PACKAGES
from tests.kubernetes.conftest import RUNNING
from tests.support.debian_packages import install_packages

_FOLDER = Path(__file__).parent
_TOGETHER = ("-m", "not alone", "--numprocesses=6", "--maxschedchunk=1")
_ALONE = ("-m", "alone")
_NO_TESTS = 5  # pytest's exit code when options select none


def main(options: Sequence[str]) -> int:
    """Run the flows that get along side by side, then each of the others on its own."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    install_packages(PACKAGES)
    installation = HelmInstallation()
    try:
        installation.start()
        installation.install()
        codes = [_pytest(*selection, *options) for selection in (_TOGETHER, _ALONE)]
    finally:
        installation.stop()
    return max(code for code in codes if code != _NO_TESTS)


def _pytest(*options: str) -> int:
    command = [sys.executable, "-m", "pytest", str(_FOLDER), *options]
    environment = os.environ | {RUNNING: "running"}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
