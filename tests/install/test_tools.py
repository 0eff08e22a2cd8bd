"""The operator's commands on the installation: in its pods, and at a desk with a kubeconfig."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.install.conftest import Run
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import STORAGE_CLASS, VOLUME
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import CREDENTIALS, Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import DRIVER_NAME, STATE
from tests.kubernetes.cluster.pods import Pod

pytestmark = pytest.mark.alone

_PROGRAM = "/opt/csi-exoblock/bin/csi-exoblock"
_CONTAINER = "csi-exoblock"
_ORPHANS = ("orphans", "--min-age=0s")


@pytest.fixture(scope="module", autouse=True)
def fresh(installation: HelmInstallation) -> None:
    """Have controllers that nothing has happened to: doctor tells of restarts of the last hour.

    A sidecar restarts when it loses its lease, as on a machine that is busy with other flows.
    """
    controller = "deployment/csi-exoblock-controller"
    installation.system.kubectl("rollout", "restart", controller)
    installation.system.kubectl("rollout", "status", controller, "--timeout=2m")
    installation.wait_ready()


@pytest.fixture
def in_the_pod(installation: HelmInstallation) -> Run:
    """Runs a command in a pod of the driver, as docs/doctor.md says."""

    def run(component: str, *arguments: str) -> tuple[int, str]:
        pod = installation.pods(component)[0].text("metadata", "name")
        command = (pod, "--container", _CONTAINER, "--", _PROGRAM, *arguments)
        try:
            return 0, installation.system.kubectl("exec", *command)
        except subprocess.CalledProcessError as error:
            return error.returncode, f"{error.stdout}{error.stderr}"

    return run


@pytest.mark.parametrize(
    ("component", "arguments"), [("controller", ("doctor",)), ("node", ("doctor", "--node"))]
)
def test_doctor_is_content_in_a_pod(
    in_the_pod: Run, component: str, arguments: tuple[str, ...]
) -> None:  # N11, S23: what it may not read there it does not ask for
    code, said = in_the_pod(component, *arguments)

    assert re.search(r"^0 wrong, \d+ not checked, \d+ well($|; )", said, re.MULTILINE), said
    assert code == 0


def test_doctor_is_content_at_the_desk(at_the_desk: Run) -> None:  # N11
    code, said = at_the_desk("doctor")

    assert re.fullmatch(r"0 wrong, 0 not checked, \d+ well; .*\n", said), said
    assert code == 0


def test_doctor_finds_a_fault_and_its_remedy_works(
    at_the_desk: Run, installation: HelmInstallation
) -> None:  # N11: with several zones a claim that binds at once can strand its pod
    manifest = {"provisioner": DRIVER_NAME, "volumeBindingMode": "Immediate"}
    api = installation.cluster.api
    api.create(STORAGE_CLASS, {"metadata": {"name": "hasty"}, **manifest})
    try:
        code, said = at_the_desk("doctor")
    finally:
        api.delete(STORAGE_CLASS, "hasty")

    assert code == 1
    assert re.search(r"^WRONG +classes: hasty .*WaitForFirstConsumer", said, re.MULTILINE), said
    assert at_the_desk("doctor")[0] == 0


def test_status_names_the_claim_that_waits_and_where_the_reason_is(
    at_the_desk: Run, namespace: Namespace, cloud: Cloud
) -> None:  # N20
    with cloud.limited("block-storage-volume", 0):
        claim = Claim.create(namespace, "waits")
        Pod.create(namespace, "waits", mounts={"/data": claim})
        claim.wait_event("ProvisioningFailed", "quota")
        _, said = at_the_desk("status")

    (line,) = (each for each in said.splitlines() if f"{namespace.name}/waits" in each)
    assert "see the claim's events" in line


def test_a_volume_that_was_left_is_found_and_imported(
    at_the_desk: Run, installation: HelmInstallation, namespace: Namespace, cloud: Cloud
) -> None:  # C4, F9
    cluster = installation.cluster
    claim = Claim.create(namespace, "left")
    pod = Pod.create(namespace, "left", mounts={"/data": claim})
    pod.wait_running()
    volume = claim.wait_bound()
    assert str(volume.uuid) not in at_the_desk(*_ORPHANS)[1]
    retain = {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
    cluster.api.patch(VOLUME, volume.name, retain)
    pod.delete()
    claim.delete()
    cluster.api.delete(VOLUME, volume.name)
    namespace.wait(lambda: cluster.api.find(VOLUME, volume.name) is None, "the PV is gone")

    _, found = at_the_desk(*_ORPHANS)
    _, objects = at_the_desk(
        "import", volume.handle, f"--namespace={namespace.name}", "--name=found"
    )
    cluster.kubectl("apply", f"--filename={_written(objects)}")

    assert str(volume.uuid) in found, found
    imported = Claim(namespace, "found")
    assert imported.wait_bound().handle == volume.handle
    Pod.create(namespace, "found", mounts={"/data": imported}).wait_running()
    assert cloud.volume(volume.uuid) is not None
    delete = {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}
    cluster.api.patch(VOLUME, imported.wait_bound().name, delete)


def _written(objects: str) -> Path:
    path = STATE / "imported.json"
    path.write_text(objects)
    return path


def test_an_archive_has_what_helps_and_no_secret(at_the_desk: Run, tmp_path: Path) -> None:  # F12
    archive = tmp_path / "exoblock.tar.gz"

    code, said = at_the_desk("doctor", "--bundle", str(archive))

    assert code == 0, said
    with tarfile.open(archive) as opened:
        files = {
            member.name: content.read().decode(errors="replace")
            for member in opened.getmembers()
            if (content := opened.extractfile(member)) is not None
        }
    (contents,) = (content for name, content in files.items() if name.endswith("contents.txt"))
    assert any("csi-provisioner" in name for name in files), sorted(files)
    assert CREDENTIALS["EXOSCALE_API_SECRET"] not in "".join(files.values())
    assert "not collected" not in contents, contents
