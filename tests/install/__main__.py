"""Install the chart on a cluster of its own and run the flows, or leave it running to play with.

python -m tests.install test [options of pytest]
python -m tests.install play
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chart.helm import NAMESPACE
from tests.install.figures import Figures
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.packages import PACKAGES
from tests.kubernetes.cluster.places import KUBECONFIG, LOGS
from tests.kubernetes.conftest import RUNNING
from tests.support.debian_packages import install_packages

_FOLDER = Path(__file__).parent
_FIRST_CLAIM = _FOLDER.parents[1] / "deploy" / "examples" / "claim.yaml"
_TOGETHER = ("-m", "not alone", "--numprocesses=6", "--maxschedchunk=1")
_ALONE = ("-m", "alone and not reinstalls")
_REINSTALLING = ("-m", "reinstalls")
_NO_TESTS = 5  # pytest's exit code when options select none


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    match arguments:
        case ["test", *options]:
            return _test(options)
        case ["play"]:
            return _play()
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _test(options: Sequence[str]) -> int:
    """Run the flows that get along side by side, then the others one by one, and print figures."""
    figures = Figures()
    begin = time.monotonic()
    with _cluster() as installation:
        figures.measure_image()
        figures.install(installation)
        codes = [_pytest(*_TOGETHER, *options)]
        figures.measure_memory(installation, "after")
        codes.append(_pytest(*_ALONE, *options))
        figures.measure_rights()
        codes.append(_pytest(*_REINSTALLING, *options))
    figures.flows_seconds = time.monotonic() - begin
    figures.write()
    return max((code for code in codes if code != _NO_TESTS), default=_NO_TESTS)


def _play() -> int:
    with _cluster() as installation:
        print(installation.install())
        print(
            f"\nexport KUBECONFIG={KUBECONFIG} PATH={installation.programs}:$PATH"
            f"\nkubectl --namespace {NAMESPACE} get pods    # the driver"
            f"\nkubectl apply --filename {_FIRST_CLAIM}    # a claim and a pod that uses it"
            f"\nThe cluster's logs are in {LOGS}. Ctrl-C ends it.",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


@contextlib.contextmanager
def _cluster() -> Iterator[HelmInstallation]:
    """Run a cluster with everything but the driver during the block."""
    install_packages(PACKAGES)
    installation = HelmInstallation()
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()


def _pytest(*options: str) -> int:
    command = [sys.executable, "-m", "pytest", str(_FOLDER), *options]
    environment = os.environ | {RUNNING: "running"}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
