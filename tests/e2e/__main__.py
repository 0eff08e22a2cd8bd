"""Run Kubernetes' own end-to-end tests of storage against the chart's installation.

python -m tests.e2e all|quick|slow [words of the names of specs]

`quick` leaves out the specs that Kubernetes calls slow or serial, and `slow` runs just those.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import yaml

from tests.e2e.claims import DRIVER, unknown_claims
from tests.e2e.images import write_test_images
from tests.e2e.programs import RUNNER, TESTS, build_tests, kubernetes_source
from tests.e2e.specs import SUITE, Absences, Spec, breaches, merged, read_report, strangers, table
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster import images
from tests.kubernetes.cluster.api import NODE
from tests.kubernetes.cluster.machine import FIRST
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.node_objects import node_object
from tests.kubernetes.cluster.packages import PACKAGES
from tests.kubernetes.cluster.places import KUBECONFIG, KUBELET, OTHER_ZONE, STATE
from tests.support.debian_packages import install_packages
from tests.support.golang import cache_folder
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_SKIPPED = Path(__file__).with_name("skipped.json")
_REPORTS = cache_folder() / "e2e-reports"
_PAUSE = "registry.k8s.io/pause:3.10.2"
_LABELS: Final = {
    "all": "",
    "quick": "!Slow && !Serial && !Disruptive",
    "slow": "Slow || Serial || Disruptive",
}
# Specs mostly wait: for kubelet, for the cloud, for a list that is polled every two seconds.
_PROCESSES = 6
# What the driver can do only if it is switched on.
_OPTIONS = ("--set=controller.capacityFromQuota=true", "--set=csiDriver.storageCapacity=true")
# Specs that want a node in a second zone. It is an object only, so that other specs may not see it.
_TWO_ZONES = "topologies that conflict with AllowedTopologies"
# Specs that begin no pod, so that a claim that waits for its first consumer would wait for ever.
_NO_CONSUMER = "multiple pods should modify volumes with a different volumeAttributesClass"
_AT_ONCE = "tests/e2e/class-at-once.yaml"


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return 1 unless every spec that may not be absent has passed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    match arguments:
        case [which, *words] if which in _LABELS:
            return _run(which, " ".join(words))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _run(which: str, words: str) -> int:
    install_packages(PACKAGES)
    programs = build_tests()
    if wrong := list(unknown_claims(kubernetes_source())):
        print(*wrong, sep="\n")
        return 1
    absences = Absences.read(_SKIPPED)
    _REPORTS.mkdir(parents=True, exist_ok=True)
    for report in _REPORTS.glob("*.json"):
        report.unlink()
    installation = HelmInstallation()
    try:
        installation.start()
        FIRST.import_images(write_test_images(programs, STATE / "images"))
        FIRST.tag_image(images.PAUSE, _PAUSE)
        installation.install(*_OPTIONS)
        wait_until(lambda: installation.cluster.attach_limit, "CSINode lists the driver")
        began = time.monotonic()
        skips = [f"--skip={_whole(name)}" for name in absences.names_left_out()]
        skips.append(f"--label-filter={_LABELS[which]}")
        run = partial(_ginkgo, programs, installation)
        special = [f"--skip={each}" for each in (_TWO_ZONES, _NO_CONSUMER)]
        specs = run(words, [*skips, *special])
        names = [spec.name for spec in _chosen(specs, which, words)]
        if any(_TWO_ZONES in name for name in names):
            with _second_zone(installation):
                specs = merged(specs, run(_TWO_ZONES, skips, report="conflicts"))
        if any(_NO_CONSUMER in name for name in names):
            bound = run(_NO_CONSUMER, skips, report="at-once", driver=_bound_at_once())
            specs = merged(specs, bound)
        print(f"{time.monotonic() - began:.0f} s with {_PROCESSES} at a time")
        left = [volume.name for volume in installation.cloud.volumes()]
    finally:
        installation.stop()
    chosen = _chosen(specs, which, words)
    wrong = [*strangers(specs, absences), *breaches(chosen, absences)]
    wrong += [f"left in the cloud: {name}" for name in left]
    print(*table(chosen), *wrong, sep="\n")
    return 1 if wrong else 0


def _chosen(specs: Sequence[Spec], which: str, words: str) -> list[Spec]:
    """Return the specs that a run is judged by."""
    return [
        spec
        for spec in specs
        if not spec.ended_well
        or (words in spec.name and (which == "all" or spec.is_quick == (which == "quick")))
    ]


def _bound_at_once() -> Path:
    """Describe the driver with a class whose claims wait for no pod, and return the file."""
    described = yaml.safe_load(DRIVER.read_text()) | {"StorageClass": {"FromFile": _AT_ONCE}}
    file = _REPORTS / "driver-at-once.yaml"
    file.write_text(yaml.safe_dump(described))
    return file


def _ginkgo(
    programs: Path,
    installation: HelmInstallation,
    words: str,
    options: Sequence[str],
    *,
    report: str = "report",
    driver: Path = DRIVER,
) -> tuple[Spec, ...]:
    """Run specs side by side, then the serial ones, and return what became of all there are."""
    command = [
        *(str(programs / RUNNER), f"--procs={_PROCESSES}", "--timeout=6h", "--no-color"),
        *(f"--output-dir={_REPORTS}", f"--json-report={report}.json"),
        *(f"--junit-report={report}.xml", "--silence-skips", *options),
        rf"--focus={SUITE}.*\Q{words}\E",
        *(str(programs / TESTS), "--", f"--kubeconfig={KUBECONFIG}", "--provider=skeleton"),
        *(f"--kubectl-path={installation.programs / 'kubectl'}", f"--kubelet-root-dir={KUBELET}"),
        *(f"--repo-root={_ROOT}", f"--storage.testdriver={driver}"),
        "--allowed-not-ready-nodes=1",  # the plugin's pod on the node that is an object only
    ]
    subprocess.run(command, cwd=_REPORTS, check=False)
    return read_report(_REPORTS / f"{report}.json")


@contextmanager
def _second_zone(installation: HelmInstallation) -> Iterator[None]:
    """Let there be a node in another zone during the block, to which pods may be sent."""
    cluster, cloud = installation.cluster, installation.cloud
    nowhere = Namespace(cluster, "default")
    with node_object(nowhere, cloud, "elsewhere", OTHER_ZONE) as node:
        cluster.api.patch(NODE, node.name, {"spec": {"taints": None}})
        yield


def _whole(name: str) -> str:
    """Return an expression of Go's for the texts that end so; nothing in the name is special."""
    return rf"\Q{name}\E$"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
