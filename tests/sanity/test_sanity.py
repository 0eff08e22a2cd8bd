"""The driver passes csi-sanity 5.6, the field's own conformance suite, on real devices."""

import json
import pathlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import golang
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

HERE = pathlib.Path(__file__).parent
CSI_SANITY = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"
# csi-sanity 5.6.0 compares the topology of a snapshot with that of the node by reflect.DeepEqual,
# which sees the size that the fast encoder caches in what was sent. This tag, protobuf's own,
# encodes without that cache; no spec changes.
BUILD_TAGS = "protoreflect"
GIB = 1024**3

# csi-sanity is built first, which takes a minute where it has never been built before.
pytestmark = [pytest.mark.thorough, pytest.mark.root, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One spec as csi-sanity reports it; `message` says why it failed or was skipped."""

    name: str
    state: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of the whole suite told, and what it left in the cloud."""

    specs: tuple[Spec, ...]
    left_over: tuple[str, ...]


@pytest.fixture(scope="module", params=["mount", "block", "mount of noise"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the suite against one process with both services, for one access type.

    Once it is with new volumes that read as noise (N19).
    """
    access_type, _, content = request.param.partition(" of ")
    modes = ("--mode", f"new-volume={content}") if content else ()
    folder = tmp_path_factory.mktemp("sanity")
    with SimulatorProcess.start(
        *("--sim-zones", "ch-gva-2", "--latency", "0.05s", *modes),
        *("--device-dir", str(folder / "by-id"), "--state-dir", str(folder / "disks")),
    ) as cloud:
        zone, _, instance = cloud.instances[0].partition("/")
        with DriverProcess.start(
            *("all", "--api-endpoint", cloud.api_endpoint, "--zone", zone),
            *("--instance-id", instance, "--device-dir", str(folder / "by-id")),
            *("--kubelet-path", str(folder / "kubelet"), "--time-scale", "0.25"),
            *("--capacity-from-quota", "true"),
            folder=folder,
            environment=cloud.environment,
        ) as driver:
            specs = tuple(run_suite(driver, folder, access_type=access_type))
        left_over = [each["name"] for each in (*cloud.volumes(), *cloud.snapshots())]
    return Run(specs=specs, left_over=tuple(left_over))


def run_suite(driver: DriverProcess, folder: pathlib.Path, *, access_type: str) -> Iterator[Spec]:
    """Run csi-sanity and yield what it reports of each spec; its exit code says no more."""
    report = folder / "report.json"
    attributes = folder / "attributes.yaml"
    (folder / "kubelet").mkdir(exist_ok=True)
    attributes.write_text("labels: tier=gold\n")
    subprocess.run(
        [
            golang.built_tool(HERE, CSI_SANITY, tags=BUILD_TAGS),
            f"-csi.endpoint={driver.socket}",
            f"-csi.mountdir={folder / 'kubelet' / 'target'}",
            f"-csi.stagingdir={folder / 'kubelet' / 'staging'}",
            f"-csi.testvolumeaccesstype={access_type}",
            f"-csi.testvolumesize={GIB}",
            f"-csi.testvolumeexpandsize={2 * GIB}",
            f"-csi.testvolumemutableparameters={attributes}",
            "-csi.testnodevolumeattachlimit",
            f"-ginkgo.json-report={report}",
            "-ginkgo.no-color",
        ],
        check=False,
    )
    for suite in json.loads(report.read_text()):
        yield from map(parse_spec, suite["SpecReports"])


def parse_spec(report: dict[str, Any]) -> Spec:
    """Return a spec of ginkgo's JSON report."""
    return Spec(
        name=" / ".join([*report["ContainerHierarchyTexts"], report["LeafNodeText"]]),
        state=report["State"],
        message=report.get("Failure", {}).get("Message", ""),
    )


def frozen_skips() -> list[str]:
    """Return the specs that may be skipped; skipped.json has our reason for each."""
    by_reason: dict[str, list[str]] = json.loads((HERE / "skipped.json").read_text())
    return sorted(name for names in by_reason.values() for name in names)


def test_csi_sanity_has_all_its_specs(run: Run) -> None:
    # 102 and one that csi-sanity itself marks as pending
    assert len(run.specs) == 103


def test_no_spec_of_csi_sanity_fails(run: Run) -> None:
    ended_well = {"passed", "skipped", "pending"}

    assert [spec for spec in run.specs if spec.state not in ended_well] == []


def test_no_spec_of_csi_sanity_is_skipped_by_mistake(run: Run) -> None:
    skipped = {spec.name: spec.message for spec in run.specs if spec.state != "passed"}

    assert sorted(skipped) == frozen_skips(), skipped


def test_csi_sanity_leaves_nothing_in_the_cloud(run: Run) -> None:
    assert run.left_over == ()
