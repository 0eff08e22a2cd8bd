"""Flow 1: a claim's data outlives its pods, and nothing outlives the claim."""

from __future__ import annotations

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import INSTANCE, ZONE
from tests.kubernetes.cluster.pods import Pod


def test_data_is_there_for_the_next_pod(namespace: Namespace, cloud: Cloud) -> None:
    claim = Claim.create(namespace)
    first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
    first.run("echo canary > /data/file && sync -f /data")

    first.delete()
    second = Pod.create(namespace, "second", mounts={"/data": claim}).wait_running()

    assert second.run("cat /data/file") == "canary"


def test_the_cloud_has_one_volume_where_the_pod_is(namespace: Namespace, cloud: Cloud) -> None:
    claim = Claim.create(namespace, size="2Gi")
    Pod.create(namespace, mounts={"/data": claim}).wait_running()
    bound = claim.wait_bound()

    (volume,) = cloud.volumes(namespace.name)

    assert (volume.uuid, volume.zone, volume.instance) == (bound.uuid, ZONE, INSTANCE)
    assert (volume.size_gib, claim.capacity) == (2, "2Gi")
    assert volume.labels["exoblock/pvc"] == claim.name  # C4
    assert volume.labels["exoblock/pv"] == bound.name


def test_a_deleted_claim_takes_its_volume_with_it(namespace: Namespace, cloud: Cloud) -> None:
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()

    pod.delete()
    claim.delete()

    namespace.wait(lambda: not cloud.volumes(namespace.name), "the cloud has no volume of it")
