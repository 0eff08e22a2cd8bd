"""Velero backs a namespace up and restores it, by snapshots and by moving their data away."""

from __future__ import annotations

from tests.install.conftest import Run
from tests.kubernetes.cluster.claims import BoundVolume, Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import INSTANCE, ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.velero.velero import NAMESPACE, Velero


def test_namespace_comes_back_from_snapshots_which_go_with_the_backup(
    velero: Velero, namespace: Namespace, cloud: Cloud
) -> None:
    pod, original = written(namespace)

    backup = velero.back_up(namespace, "by-snapshots")
    pod.run("echo later > /data/file && sync -f /data")
    lose(namespace, cloud, original)
    velero.restore("by-snapshots")

    assert_restored(namespace, cloud, original)
    assert backup.number("csiVolumeSnapshotsCompleted") == 1
    velero.delete_backup("by-snapshots")
    namespace.wait(lambda: not cloud.snapshots(namespace.name), "its snapshot is gone")
    assert pod.run("cat /data/file") == "canary"


def test_namespace_comes_back_from_the_object_store_without_any_snapshot(
    velero: Velero, namespace: Namespace, cloud: Cloud
) -> None:
    pod, original = written(namespace)

    velero.back_up(namespace, "by-moving-data", "--snapshot-move-data")
    assert not cloud.snapshots(namespace.name)
    assert not cloud.volumes(NAMESPACE)  # from one there Velero has read the snapshot's content
    pod.run("echo later > /data/file && sync -f /data")
    lose(namespace, cloud, original)
    velero.restore("by-moving-data")

    assert_restored(namespace, cloud, original)
    velero.delete_backup("by-moving-data")


def test_snapshot_of_a_backup_is_shown_as_one_and_no_command_deletes_it(
    velero: Velero, namespace: Namespace, cloud: Cloud, at_the_desk: Run
) -> None:  # C6: Velero keeps no VolumeSnapshotContent
    written(namespace)

    velero.back_up(namespace, "listed")

    (snapshot,) = cloud.snapshots(namespace.name)
    _, said = at_the_desk("orphans", "--min-age=0s")
    (line,) = (each for each in said.splitlines() if str(snapshot) in each)
    assert f"{namespace.name}/velero-data-" in line
    _, said = at_the_desk("orphans", "--min-age=0s", "--output=commands")
    (line,) = (each for each in said.splitlines() if str(snapshot) in each)
    assert line.startswith("# not to be deleted, perhaps a backup of Velero's: ")
    velero.delete_backup("listed")
    namespace.wait(lambda: not cloud.snapshots(namespace.name), "its snapshot is gone")


def written(namespace: Namespace) -> tuple[Pod, BoundVolume]:
    """Start a pod, write into its volume, and return both."""
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()
    pod.run("echo canary > /data/file && sync -f /data")
    return pod, claim.wait_bound()


def lose(namespace: Namespace, cloud: Cloud, volume: BoundVolume) -> None:
    """Delete a namespace, and return when it is gone with its volume."""
    namespace.remove_itself()
    namespace.wait_gone()
    namespace.wait(lambda: cloud.volume(volume.uuid) is None, "its volume is gone")


def assert_restored(namespace: Namespace, cloud: Cloud, original: BoundVolume) -> None:
    """Raise unless the pod runs again with its data, on another volume in the node's zone."""
    pod = Pod(namespace, "app").wait_running()
    restored = Claim(namespace, "data").wait_bound()
    volume = cloud.volume(restored.uuid)
    assert pod.run("cat /data/file") == "canary"
    assert restored.uuid != original.uuid
    assert volume is not None
    assert (volume.zone, volume.instance) == (ZONE, INSTANCE)
