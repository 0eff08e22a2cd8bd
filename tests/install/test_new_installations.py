"""What a new user meets: what is wrong is said, and what it says to do helps.

Each test installs the chart itself, as a user types it, on a cluster that has no driver.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.helm import NAMESPACE, RELEASE
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import SECRET
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import CREDENTIALS
from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import INSTANCE, ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot

pytestmark = [pytest.mark.alone, pytest.mark.reinstalls]

_VENDOR = Path(__file__).with_name("vendor.yaml")


@pytest.fixture(scope="module")
def without(installation: HelmInstallation) -> Iterator[HelmInstallation]:
    """The cluster without the driver; afterwards it is installed as before."""
    installation.uninstall()
    yield installation
    installation.install()


@pytest.fixture
def cluster(without: HelmInstallation) -> Iterator[HelmInstallation]:
    """The same for one test, which may install the driver."""
    yield without
    without.uninstall()


def test_wrong_key_is_said_by_an_event_and_a_right_one_needs_no_restart(
    cluster: HelmInstallation,
) -> None:  # F1, F11, N14
    printed = cluster.install("--set=credentials.apiSecret=wrong", wait=False)

    assert "describe pods" in printed
    pod = _pod(cluster, "controller")
    said = cluster.system.wait_event(pod, "not accepted the API key")
    assert "Invalid request signature; check the API key" in said

    before = {each.text("metadata", "uid") for each in cluster.pods("controller")}
    cluster.upgrade(wait=False)
    cluster.wait_ready()
    assert {each.text("metadata", "uid") for each in cluster.pods("controller")} == before
    assert [each.text("name") for each in _statuses(cluster) if each.number("restartCount")] == []


def test_missing_secret_is_said_by_helm_and_by_an_event(cluster: HelmInstallation) -> None:  # F11
    printed = cluster.install("--set=credentials.apiKey=,credentials.apiSecret=", wait=False)

    said = cluster.system.wait_event(
        _pod(cluster, "controller"), "FailedMount", "exoscale-credentials"
    )
    assert "not found" in said

    cluster.cluster.kubectl(*_command(printed, "create secret"))
    try:
        cluster.wait_ready()
    finally:
        cluster.cluster.api.delete(SECRET, "exoscale-credentials", NAMESPACE)


def test_key_that_is_no_key_is_said_by_the_pods_status(cluster: HelmInstallation) -> None:  # F11
    cluster.install("--set=credentials.apiKey=two words", wait=False)

    def last_words() -> str | None:
        return next(
            (
                ended.text("message")
                for pod in cluster.pods("controller")
                for status in pod.documents("status", "containerStatuses")
                for where in ("state", "lastState")
                if (ended := status.document(where, "terminated")).text("message")
                and status.text("name") == "csi-exoblock"
            ),
            None,
        )

    said = cluster.system.wait(last_words, "the pod's status has its last words")
    assert "EXOSCALE_API_KEY has a space or a comma in it" in said


def test_cluster_without_snapshot_definitions_works_and_helm_says_what_is_missing(
    cluster: HelmInstallation, namespace: Namespace
) -> None:  # F6
    with cluster.without_snapshot_definitions():
        printed = cluster.install()

        assert "No snapshots: this cluster has no snapshot CRDs." in printed
        assert "csi-snapshotter" not in {each.name for each in cluster.containers()}
        claim = Claim.create(namespace)
        Pod.create(namespace, mounts={"/data": claim}).wait_running()

    cluster.upgrade()
    Snapshot.create(namespace, of=claim).wait_ready()


def test_node_without_identity_is_said_by_an_event(
    cluster: HelmInstallation, namespace: Namespace
) -> None:  # S10, F11
    unknown = r"--set-string=node.metadataSources=cdrom\,server"
    cluster.install(unknown, wait=False)

    said = cluster.system.wait_event(_pod(cluster, "node"), "id and zone are not known yet")
    for words in ("--instance-id and a --zone", "cdrom: ", "server: "):
        assert words in said

    named = (f"--instance-id={INSTANCE}", f"--zone={ZONE}")
    options = [f"--set=node.additionalArgs[{at}]={flag}" for at, flag in enumerate(named, start=1)]
    cluster.upgrade(unknown, *options)
    cluster.wait_ready()
    Pod.create(namespace, mounts={"/data": Claim.create(namespace)}).wait_running()


def test_nothing_collides_with_what_the_vendors_driver_has(
    cluster: HelmInstallation, namespace: Namespace
) -> None:  # F8
    kubectl = cluster.cluster.kubectl
    kubectl("apply", f"--filename={_VENDOR}")
    try:
        before = _vendors(cluster)

        cluster.install()
        claim = Claim.create(namespace)
        Pod.create(namespace, mounts={"/data": claim}).wait_running()
        Snapshot.create(namespace, of=claim).wait_ready()
        namespace.clear()
        cluster.upgrade("--set=debugLogs=true")
        during = _vendors(cluster)
        cluster.uninstall()
        after = _vendors(cluster)
        cluster.install()

        assert before == during == after
    finally:
        kubectl("delete", f"--filename={_VENDOR}")


def _statuses(cluster: HelmInstallation) -> list[Document]:
    """Return the statuses of all containers of the controllers."""
    return [
        status
        for pod in cluster.pods("controller")
        for status in pod.documents("status", "containerStatuses")
    ]


def _pod(cluster: HelmInstallation, component: str) -> str:
    """Return the name of a pod of the component as soon as there is one."""
    found = cluster.system.wait(lambda: cluster.pods(component), f"there is a {component}")
    return found[0].text("metadata", "name")


def _command(printed: str, words: str) -> list[str]:
    """Return the arguments of the kubectl command that Helm shows, with the real key filled in."""
    lines = printed.replace("\\\n", " ").splitlines()
    (line,) = (line for line in lines if words in line)
    for name, secret in CREDENTIALS.items():
        before, _, after = line.partition(f"--from-literal={name}=")
        line = f"{before}{shlex.quote(f'--from-literal={name}={secret}')} {after.partition(' ')[2]}"
    program, *arguments = shlex.split(line)
    assert program == "kubectl"
    return arguments


def _vendors(cluster: HelmInstallation) -> dict[str, str]:
    """Return the version of each object of the vendor's names, which changes with the object."""
    listed = json.loads(cluster.cluster.kubectl("get", f"--filename={_VENDOR}", "--output=json"))
    assert RELEASE not in json.dumps(listed)
    return {
        f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for each in listed["items"]
    }
