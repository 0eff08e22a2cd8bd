"""Install the chart on a cluster of its own and run the flows, or leave it running to play with.

python -m tests.install test [options of pytest]
python -m tests.install nodes [options of pytest]    # the flows of two nodes; -m two_nodes: all
python -m tests.install play
python -m tests.install times    # of claims and pods, who takes how long: build/cluster-times.md
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chart.helm import NAMESPACE
from tests.install import times
from tests.install.figures import Figures
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.places import KUBECONFIG, LOGS
from tests.kubernetes.conftest import RUNNING
from tests.support.flow_runs import FlowRuns

_FOLDER = Path(__file__).parent
_FIRST_CLAIM = _FOLDER.parents[1] / "deploy" / "examples" / "claim.yaml"
_TOGETHER = ("-m", "not alone", "--numprocesses=6", "--maxschedchunk=1")
_ALONE = ("-m", "alone and not reinstalls and not two_nodes")
_REINSTALLING = ("-m", "reinstalls")
_TWO_NODES = ("-m", "two_nodes and not slow")  # an option -m stands behind it, and wins


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    match arguments:
        case ["test", *options]:
            return _test(options)
        case ["nodes", *options]:
            return _test_nodes(options)
        case ["play"]:
            return _play()
        case ["times"]:
            return _times()
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _test(options: Sequence[str]) -> int:
    """Run the flows that get along side by side, then the others one by one, and print figures."""
    figures, flows = Figures(), FlowRuns(_FOLDER, {RUNNING: "running"})
    begin = time.monotonic()
    with HelmInstallation.running() as installation:
        figures.measure_image()
        figures.install(installation)
        flows.run(*_TOGETHER, *options)
        figures.measure_memory(installation, "after")
        flows.run(*_ALONE, *options)
        figures.measure_rights()
        flows.run(*_REINSTALLING, *options)
    figures.flows_seconds = time.monotonic() - begin
    figures.write()
    flows.say_failures()
    return flows.exit_code


def _test_nodes(options: Sequence[str]) -> int:
    """Run the flows that need a second node."""
    flows = FlowRuns(_FOLDER, {RUNNING: "running"})
    with HelmInstallation.running() as installation:
        installation.install()
        flows.run(*_TWO_NODES, *options)
    flows.say_failures()
    return flows.exit_code


def _times() -> int:
    with HelmInstallation.running() as installation:
        installation.cloud.set_quota("block-storage-volume-attachments", 2 * times.MOST)
        installation.install(f"--set=node.volumeAttachLimit={2 * times.MOST}")
        page = "\n".join(times.measure(installation))
        times.PAGE.parent.mkdir(exist_ok=True)
        times.PAGE.write_text(page + "\n")
        print(page, flush=True)
    return 0


def _play() -> int:
    with HelmInstallation.running() as installation:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
