"""Two zones with a real node in each: volumes and snapshots stay in theirs, and events say why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.install.installation import HelmInstallation
from tests.install.second_node import SecondNode
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.machine import FAR_MACHINE
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import FAR_INSTANCE, INSTANCE, OTHER_ZONE, ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot

pytestmark = [pytest.mark.alone, pytest.mark.two_nodes]


@pytest.fixture(scope="module", autouse=True)
def far(installation: HelmInstallation) -> Iterator[SecondNode]:
    """The node in the other zone, with the driver on it."""
    with SecondNode.running(installation, FAR_MACHINE) as node:
        yield node


def test_each_claim_is_made_and_used_in_the_zone_of_its_pod_and_keeps_later_pods_there(
    namespace: Namespace, cloud: Cloud
) -> None:  # S12
    pods = {
        zone: _user(namespace, zone, Claim.create(namespace, zone)) for zone in (ZONE, OTHER_ZONE)
    }
    for zone, pod in pods.items():
        pod.wait_running().run(f"echo {zone} > /data/file && sync -f /data")
    volumes = {(each.zone, each.instance) for each in cloud.volumes(namespace.name)}
    assert volumes == {(ZONE, INSTANCE), (OTHER_ZONE, FAR_INSTANCE)}

    pods[OTHER_ZONE].delete()
    there = Claim(namespace, OTHER_ZONE)
    misplaced = _user(namespace, ZONE, there, name="misplaced")
    misplaced.wait_event("FailedScheduling", "PersistentVolume's node affinity")
    free = Pod.create(namespace, "free", mounts={"/data": there})

    assert free.wait_running().run("cat /data/file") == OTHER_ZONE
    assert misplaced.phase == "Pending"


def test_a_snapshot_is_restored_in_its_own_zone_only(
    namespace: Namespace, cloud: Cloud
) -> None:  # S13
    source = Claim.create(namespace, "source")
    writer = _user(namespace, OTHER_ZONE, source, name="writer").wait_running()
    writer.run("echo canary > /data/file && sync -f /data")
    snapshot = Snapshot.create(namespace, of=source).wait_ready()

    restored = Claim.create(namespace, "restored", snapshot=snapshot.name)
    misplaced = _user(namespace, ZONE, restored, name="misplaced")
    said = restored.wait_event("ProvisioningFailed", "ResourceExhausted", snapshot.handle)
    assert f"the pod must run in {OTHER_ZONE}" in said
    assert (restored.phase, misplaced.phase) == ("Pending", "Pending")
    misplaced.delete()
    free = Pod.create(namespace, "free", mounts={"/data": restored})

    assert free.wait_running().run("cat /data/file") == "canary"
    assert {each.zone for each in cloud.volumes(namespace.name)} == {OTHER_ZONE}


def _user(namespace: Namespace, zone: str, claim: Claim, *, name: str = "") -> Pod:
    """Start a pod that insists on a zone."""
    return Pod.create(namespace, name or zone, mounts={"/data": claim}, zone=zone)
