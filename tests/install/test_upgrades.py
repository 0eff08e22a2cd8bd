"""The chart is changed, taken away and installed once more under volumes that are in use."""

from __future__ import annotations

import pytest

from tests.install.installation import ATTACH_LIMIT, HelmInstallation
from tests.kubernetes.cluster.api import CLAIM, STORAGE_CLASS, VOLUME
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot
from tests.kubernetes.flows import begun
from tests.kubernetes.test_expansion import GROWN_MIB, wait_detached
from tests.kubernetes.test_snapshots import size_mib
from tests.support.waiting import wait_until

pytestmark = pytest.mark.alone

# Longer than both upgrades take, so that both find the cloud's operations under way.
_SLOW_SECONDS = 40.0
_AFTER_SECONDS = 3 * _SLOW_SECONDS


def test_pod_keeps_its_volume_through_an_upgrade_and_back(
    installation: HelmInstallation, namespace: Namespace
) -> None:  # S15
    pod = _user_of(Claim.create(namespace)).wait_running()
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


def test_an_upgrade_and_the_way_back_lose_nothing_of_what_is_under_way(
    installation: HelmInstallation, namespace: Namespace, cloud: Cloud
) -> None:  # F5, C1, N6, N1
    kept, growing, leaving = (
        _used(Claim.create(namespace, name)) for name in ("kept", "growing", "leaving")
    )
    source, growing_claim = Claim(namespace, "kept"), Claim(namespace, "growing")
    growing_claim.request("2Gi")
    growing_claim.wait_event("VolumeResizeFailed", "FailedPrecondition", "pod")
    drivers = _uids(installation)
    with cloud.slowed(_SLOW_SECONDS):
        with begun(namespace, cloud, "create-block-storage-snapshot", 2):
            snapshot = Snapshot.create(namespace, of=source)
            clone = _user_of(Claim.create(namespace, "clone", clone_of=source.name))
        with begun(namespace, cloud, "create-block-storage-volume"):
            new = _user_of(Claim.create(namespace, "new"))
        with begun(namespace, cloud, "detach-block-storage-volume"):
            leaving.delete()

        installation.upgrade("--set=debugLogs=true")
        installation.upgrade()

        assert not drivers & _uids(installation)
        assert not snapshot.is_ready or clone.phase == "Pending"  # there was something under way
    snapshot.wait_ready(_AFTER_SECONDS)
    assert clone.wait_running(_AFTER_SECONDS).run("cat /data/file") == "kept"
    new.wait_running(_AFTER_SECONDS)
    growing.delete()
    uuid = growing_claim.wait_bound().uuid
    namespace.wait(lambda: cloud.state_of(uuid) == "detached", "it is detached")
    assert size_mib(_user_of(growing_claim).wait_running(), "/data") > GROWN_MIB
    assert _user_of(Claim(namespace, "leaving")).wait_running().run("cat /data/file") == "leaving"

    assert kept.run("cat /data/file") == "kept"
    assert kept.restarts == 0
    assert len(cloud.volumes(namespace.name)) == len(("kept", "growing", "leaving", "clone", "new"))
    namespace.wait(
        lambda: len(cloud.snapshots(namespace.name)) == 1, "the clone's own snapshot is gone"
    )


def _user_of(claim: Claim) -> Pod:
    return Pod.create(claim.namespace, claim.name, mounts={"/data": claim})


def _used(claim: Claim) -> Pod:
    """Return a pod whose volume holds the name of the claim."""
    pod = _user_of(claim).wait_running()
    pod.run(f"echo {claim.name} > /data/file && sync -f /data")
    return pod


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
