"""Flow 5: snapshots restore what was there, beside their source, and go in any order."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot

_KEEP_WRITING = "while true; do date >> /data/noise; done & trap 'exit 0' TERM; wait"


@pytest.mark.parametrize("fstype", ["ext4", "ext3", "xfs", "btrfs"])
def test_a_restore_has_the_data_and_fills_its_volume_beside_its_busy_source(
    namespace: Namespace, fstype: str
) -> None:
    with storage_class(namespace, {FSTYPE: fstype}) as made:
        source = Claim.create(namespace, "source", storage_class=made)
        writer = Pod.create(namespace, "writer", mounts={"/data": source}, script=_KEEP_WRITING)
        writer.wait_running().run("echo canary > /data/file && sync -f /data")
        snapshot = Snapshot.create(namespace, of=source).wait_ready()
        writer.run("echo later > /data/file && sync -f /data")

        same, larger = (
            Claim.create(namespace, name, size=size, storage_class=made, snapshot=snapshot.name)
            for name, size in (("same", "1Gi"), ("larger", "2Gi"))
        )
        mounts = {"/same": same, "/larger": larger}
        reader = Pod.create(namespace, "reader", mounts=mounts).wait_running()  # D9

        assert reader.run("cat /same/file /larger/file") == "canary\ncanary"
        assert writer.run("cat /data/file") == "later"
        assert size_mib(reader, "/same") <= 1024
        assert size_mib(reader, "/larger") > 1800  # S8


@pytest.mark.parametrize(
    "order", list(permutations(("source", "snapshot", "restored"))), ids="-".join
)
def test_source_snapshot_and_restored_volume_go_in_any_order(
    namespace: Namespace, cloud: Cloud, order: tuple[str, ...]
) -> None:
    with storage_class(namespace, {}, binding="Immediate") as made:
        source = Claim.create(namespace, "source", storage_class=made)
        snapshot = Snapshot.create(namespace, of=source).wait_ready()
        restored = Claim.create(namespace, "restored", storage_class=made, snapshot=snapshot.name)
        restored.wait_bound()
        things: dict[str, Claim | Snapshot] = {
            "source": source,
            "snapshot": snapshot,
            "restored": restored,
        }

        for name in order:
            things[name].delete()

        gone = "nothing is left in the cloud"
        namespace.wait(lambda: not cloud.volumes(namespace.name), gone)
        namespace.wait(lambda: not cloud.snapshots(namespace.name), gone)


def test_a_snapshot_made_elsewhere_can_be_adopted_and_restored(namespace: Namespace) -> None:
    source = Claim.create(namespace, "source")
    writer = Pod.create(namespace, "writer", mounts={"/data": source}).wait_running()
    writer.run("echo canary > /data/file && sync -f /data")
    original = Snapshot.create(namespace, of=source).wait_ready()

    adopted = Snapshot.adopt(namespace, "adopted", handle=original.handle).wait_ready()  # S18

    restored = Claim.create(namespace, "restored", snapshot=adopted.name)
    reader = Pod.create(namespace, "reader", mounts={"/data": restored}).wait_running()
    assert reader.run("cat /data/file") == "canary"
    assert adopted.restore_size == original.restore_size == "1Gi"


@pytest.mark.alone
def test_a_volume_that_may_not_go_before_its_snapshot_goes_after_it(
    namespace: Namespace, cloud: Cloud
) -> None:
    source = Claim.create(namespace, "source")
    pod = Pod.create(namespace, mounts={"/data": source}).wait_running()
    snapshot = Snapshot.create(namespace, of=source).wait_ready()
    bound = source.wait_bound()

    with cloud.answering("delete-with-snapshots", "refused"):  # S19
        pod.delete()
        source.delete()

        refusal = "FailedPrecondition", str(cloud.snapshots(namespace.name)[0])
        events_of_cluster = Namespace(namespace.cluster, "default")
        events_of_cluster.wait_event(bound.name, "VolumeFailedDelete", *refusal)
        snapshot.delete()
        namespace.wait(lambda: not cloud.volumes(namespace.name), "the volume follows its snapshot")


def size_mib(pod: Pod, path: str) -> int:
    """Return the size of the file system at a path, as the pod sees it."""
    return int(pod.run(f"df -m {path} | tail -1").split()[1])
