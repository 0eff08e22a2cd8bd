"""The chart is changed, taken away and installed once more under volumes that are in use."""

from __future__ import annotations

import pytest

from tests.install.installation import ATTACH_LIMIT, HelmInstallation
from tests.kubernetes.cluster.api import CLAIM, STORAGE_CLASS, VOLUME
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.test_expansion import wait_detached
from tests.support.waiting import wait_until

pytestmark = pytest.mark.alone


def test_pod_keeps_its_volume_through_an_upgrade_and_back(
    installation: HelmInstallation, namespace: Namespace
) -> None:  # S15
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()
    before = _uids(installation)

    installation.upgrade("--set=node.volumeAttachLimit=7", "--set=debugLogs=true")
    wait_until(lambda: installation.cluster.attach_limit == 7, "the node has the new limit")
    pod.run("echo canary > /data/file && sync -f /data")
    installation.upgrade()
    wait_until(
        lambda: installation.cluster.attach_limit == ATTACH_LIMIT, "the node has the old limit"
    )

    assert not before & _uids(installation)
    assert pod.run("cat /data/file") == "canary"
    assert pod.restarts == 0
    pod.delete()


@pytest.mark.reinstalls
def test_volumes_outlive_the_driver_and_a_new_installation_finds_them(
    installation: HelmInstallation, namespace: Namespace, cloud: Cloud
) -> None:
    claim = Claim.create(namespace)
    first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
    first.run("echo canary > /data/file && sync -f /data")
    first.delete()
    wait_detached(namespace, cloud)
    bound = claim.wait_bound()

    installation.uninstall()
    try:
        api = installation.cluster.api
        assert api.find(STORAGE_CLASS, "exoblock") is None
        assert api.get(VOLUME, bound.name).text("status", "phase") == "Bound"
        assert namespace.get(CLAIM, claim.name).text("status", "phase") == "Bound"
        assert cloud.volume(bound.uuid) is not None
    finally:
        installation.install()

    second = Pod.create(namespace, "second", mounts={"/data": claim}).wait_running()
    assert second.run("cat /data/file") == "canary"


def _uids(installation: HelmInstallation) -> set[str]:
    """Return what tells the driver's pods from those that replace them."""
    pods = [*installation.pods("controller"), *installation.pods("node")]
    return {pod.text("metadata", "uid") for pod in pods}
