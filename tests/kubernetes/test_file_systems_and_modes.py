"""Flow 4: every file system, raw block, and every way in which a pod may use a volume."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod

FILE_SYSTEMS = ("ext4", "ext3", "xfs", "btrfs")


def test_a_pod_uses_every_file_system(namespace: Namespace) -> None:
    with ExitStack() as classes:
        claims = {}
        for fstype in FILE_SYSTEMS:
            made = classes.enter_context(storage_class(namespace, {FSTYPE: fstype}))
            claims[f"/{fstype}"] = Claim.create(namespace, fstype, storage_class=made)

        pod = Pod.create(namespace, mounts=claims).wait_running()

        for path in claims:
            assert (
                pod.run(f"echo canary > {path}/file && sync -f {path} && cat {path}/file")
                == "canary"
            )
            assert mounted_type(pod, path) == path.strip("/")


def test_raw_block_keeps_what_a_pod_wrote(namespace: Namespace) -> None:
    claim = Claim.create(namespace, volume_mode="Block")
    first = Pod.create(namespace, "first", devices={"/dev/data": claim}).wait_running()
    first.run("echo canary | dd of=/dev/data bs=4096 conv=sync,fsync")

    first.delete()
    second = Pod.create(namespace, "second", devices={"/dev/data": claim}).wait_running()

    assert second.run("head -c 6 /dev/data") == "canary"


def test_a_group_may_write_where_fs_group_says_so(namespace: Namespace) -> None:
    claim = Claim.create(namespace)

    pod = Pod.create(namespace, mounts={"/data": claim}, fs_group=2000).wait_running()

    pod.run("touch /data/file")
    assert pod.run("stat -c %u:%g /data/file") == "1000:2000"  # S24


def test_a_read_only_mount_can_be_read_but_not_written(namespace: Namespace) -> None:
    claim = Claim.create(namespace)
    writer = Pod.create(namespace, "writer", mounts={"/data": claim}).wait_running()
    writer.run("echo canary > /data/file && sync -f /data")
    writer.delete()

    reader = Pod.create(namespace, "reader", mounts={"/data": claim}, read_only=True).wait_running()

    assert reader.run("cat /data/file") == "canary"
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        reader.run("touch /data/other")
    assert "Read-only file system" in refusal.value.stderr
    # Kubelet makes the container's own mount read-only too; this one is the driver's.
    published = reader.published_at(claim.wait_bound())
    assert os.statvfs(published).f_flag & os.ST_RDONLY


def test_mount_options_of_the_class_are_in_force(namespace: Namespace) -> None:
    options = ["noatime", "commit=30"]
    with storage_class(namespace, {FSTYPE: "ext4"}, mount_options=options) as made:
        claim = Claim.create(namespace, storage_class=made)
        pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()

        assert set(options) <= mounted_options(pod, "/data")


def test_read_write_once_pod_admits_one_pod_at_a_time(namespace: Namespace) -> None:
    claim = Claim.create(namespace, access_mode="ReadWriteOncePod")  # F15
    first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()

    second = Pod.create(namespace, "second", mounts={"/data": claim})

    second.wait_event("FailedScheduling", "ReadWriteOncePod")
    first.delete()
    second.wait_running()


def test_two_pods_on_a_node_share_a_volume(namespace: Namespace) -> None:
    claim = Claim.create(namespace)
    writer = Pod.create(namespace, "writer", mounts={"/data": claim})
    reader = Pod.create(namespace, "reader", mounts={"/data": claim})
    writer.wait_running()
    reader.wait_running()

    writer.run("echo canary > /data/file")

    assert reader.run("cat /data/file") == "canary"
    writer.delete()
    assert reader.run("cat /data/file") == "canary"


def test_an_ephemeral_volume_goes_with_its_pod(namespace: Namespace, cloud: Cloud) -> None:
    pod = Pod.create(namespace, ephemeral={"/data": "1Gi"}).wait_running()
    pod.run("echo canary > /data/file")

    pod.delete()

    namespace.wait(lambda: not cloud.volumes(namespace.name), "the cloud has no volume of it")


def mounted_type(pod: Pod, path: str) -> str:
    """Return the type of the file system that a pod sees at a path."""
    return _mount_line(pod, path)[2]


def mounted_options(pod: Pod, path: str) -> set[str]:
    """Return the options of the mount that a pod sees at a path."""
    return set(_mount_line(pod, path)[3].split(","))


def _mount_line(pod: Pod, path: str) -> list[str]:
    return pod.run(f"grep ' {path} ' /proc/mounts").split()
