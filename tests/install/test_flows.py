"""What a user does, on the installation that a user has."""

from __future__ import annotations

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import INSTANCE, ZONE
from tests.kubernetes.cluster.pods import Pod, StatefulSet
from tests.kubernetes.cluster.snapshots import Snapshot
from tests.kubernetes.test_expansion import wait_detached
from tests.kubernetes.test_snapshots import size_mib

_RESIZER_SECONDS = 330.0


def test_data_of_a_claim_is_there_for_the_next_pod(namespace: Namespace, cloud: Cloud) -> None:
    claim = Claim.create(namespace)
    first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
    first.run("echo canary > /data/file && sync -f /data")
    (volume,) = cloud.volumes(namespace.name)

    first.delete()
    second = Pod.create(namespace, "second", mounts={"/data": claim}).wait_running()

    assert second.run("cat /data/file") == "canary"
    assert (volume.zone, volume.instance) == (ZONE, INSTANCE)


def test_snapshot_restores_into_a_larger_volume_and_a_claim_clones(namespace: Namespace) -> None:
    source = Claim.create(namespace, "source", storage_class="exoblock-xfs")
    writer = Pod.create(namespace, "writer", mounts={"/data": source}).wait_running()
    writer.run("echo canary > /data/file && sync -f /data")
    snapshot = Snapshot.create(namespace, of=source).wait_ready()

    larger = Claim.create(
        namespace, "larger", size="2Gi", storage_class="exoblock-xfs", snapshot=snapshot.name
    )
    clone = Claim.create(namespace, "clone", storage_class="exoblock-xfs", clone_of=source.name)
    mounts = {"/larger": larger, "/clone": clone}
    reader = Pod.create(namespace, "reader", mounts=mounts).wait_running()

    assert reader.run("cat /larger/file /clone/file") == "canary\ncanary"
    assert size_mib(reader, "/larger") > 1800  # S8


def test_claim_in_use_grows_with_its_next_pod(namespace: Namespace, cloud: Cloud) -> None:
    claim = Claim.create(namespace)
    first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
    first.run("echo canary > /data/file")
    claim.request("2Gi")
    claim.wait_event("VolumeResizeFailed", "FailedPrecondition", "pod")

    first.delete()
    wait_detached(namespace, cloud)
    second = Pod.create(namespace, "second", mounts={"/data": claim}).wait_running()  # N1

    assert size_mib(second, "/data") > 1800
    assert second.run("cat /data/file") == "canary"
    claim.wait_capacity("2Gi", seconds=_RESIZER_SECONDS)


def test_every_pod_of_a_stateful_set_finds_its_volume_again(namespace: Namespace) -> None:
    stateful_set = StatefulSet.create(namespace, replicas=2)
    for ordinal in range(2):
        pod = stateful_set.pod(ordinal).wait_running()
        pod.run(f"echo {pod.name} > /data/canary && sync -f /data")

    stateful_set.scale(0)
    stateful_set.wait_pods_gone(range(2))
    stateful_set.scale(2)

    for ordinal in range(2):
        pod = stateful_set.pod(ordinal).wait_running()
        assert pod.run("cat /data/canary") == pod.name


def test_raw_block_and_a_claim_for_one_pod_only(namespace: Namespace) -> None:
    raw = Claim.create(namespace, "raw", volume_mode="Block")
    alone = Claim.create(namespace, "alone", access_mode="ReadWriteOncePod")
    pod = Pod.create(
        namespace, "first", devices={"/dev/raw": raw}, mounts={"/data": alone}
    ).wait_running()
    pod.run("echo canary | dd of=/dev/raw bs=4096 conv=sync,fsync 2>/dev/null")

    second = Pod.create(namespace, "second", mounts={"/data": alone})
    second.wait_event("FailedScheduling", "ReadWriteOncePod")  # F15
    pod.delete()
    second.wait_running()
    reader = Pod.create(namespace, "reader", devices={"/dev/raw": raw}).wait_running()

    assert reader.run("head -c 6 /dev/raw") == "canary"
