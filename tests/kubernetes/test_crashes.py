"""Flow 8: whatever part of the driver dies or is replaced, work goes on and no pod notices."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster.api import POD
from tests.kubernetes.cluster.claims import BoundVolume, Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.cleaning import mounts_below
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.installation import Installation
from tests.kubernetes.cluster.namespace import PATIENCE_SECONDS, Namespace
from tests.kubernetes.cluster.places import KUBELET
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.flows import begun
from tests.support.waiting import wait_until

pytestmark = pytest.mark.alone

_SLOW_SECONDS = 4.0


@pytest.fixture
def slow_cloud(cloud: Cloud) -> Iterator[Cloud]:
    """Let every operation take so long that it can be interrupted."""
    with cloud.slowed(_SLOW_SECONDS):
        yield cloud


@pytest.mark.parametrize(
    "operation", ["create-block-storage-volume", "attach-block-storage-volume-to-instance"]
)
def test_a_pod_comes_up_though_the_controller_died_meanwhile(
    installation: Installation, namespace: Namespace, slow_cloud: Cloud, operation: str
) -> None:
    with begun(namespace, slow_cloud, operation):
        pod = Pod.create(namespace, mounts={"/data": Claim.create(namespace)})

    installation.controller_pod.controller.crash()

    pod.wait_running()
    assert len(slow_cloud.volumes(namespace.name)) == 1  # C1


@pytest.mark.parametrize("fate", [signal.SIGCONT, signal.SIGKILL], ids=["mkfs-lives", "mkfs-dies"])
def test_a_pod_comes_up_though_the_node_plugin_died_while_formatting(
    installation: Installation, namespace: Namespace, cloud: Cloud, fate: signal.Signals
) -> None:
    # ext3 writes all its inode tables at once, which takes long enough to be caught.
    with storage_class(namespace, {FSTYPE: "ext3"}) as made:
        claim = Claim.create(namespace, size="100Gi", storage_class=made)
        pod = Pod.create(namespace, mounts={"/data": claim})
        maker = namespace.wait(lambda: _mkfs_of(namespace, cloud), "a file system is being made")
        os.kill(maker, signal.SIGSTOP)  # it shall not end before the plugin does

        installation.node.kill()
        installation.node.start()
        os.kill(maker, fate)

        pod.wait_running()  # D10
        assert pod.run("echo canary > /data/file && cat /data/file") == "canary"


def test_a_volume_is_freed_though_the_node_plugin_died_while_unstaging(
    installation: Installation, namespace: Namespace, cloud: Cloud
) -> None:
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()
    pod.run("dd if=/dev/urandom of=/data/file bs=1M count=700")  # for the unmount to write out
    bound = claim.wait_bound()
    namespace.remove(POD, pod.name)
    namespace.wait(lambda: _is_only_staged(bound), "the volume is staged but not published")

    installation.node.kill()
    installation.node.start()

    namespace.wait(lambda: _is_detached(bound, cloud), "the volume is detached")  # S15
    assert not mounts_below(bound.staging_folder)  # D4


def test_a_running_pod_does_not_notice_a_new_kubelet(
    installation: Installation, namespace: Namespace
) -> None:
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()
    uid, mounts = pod.uid, mounts_below(KUBELET)

    with installation.registering():  # N18
        installation.cluster.kubelet.restart()
    namespace.wait(lambda: _answers(pod), "the new kubelet serves")

    assert pod.run("echo canary > /data/file && cat /data/file") == "canary"
    assert (pod.uid, pod.restarts) == (uid, 0)
    later = Pod.create(namespace, "later", mounts={"/data": claim}).wait_running()
    assert later.run("cat /data/file") == "canary"
    later.delete()
    assert sorted(mounts_below(KUBELET)) == sorted(mounts)  # S14


def test_a_running_pod_does_not_notice_a_new_node_plugin(
    installation: Installation, namespace: Namespace
) -> None:
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()
    uid = pod.uid

    with installation.registering():  # N18
        installation.node.restart()

    assert pod.run("echo canary > /data/file && cat /data/file") == "canary"
    assert (pod.uid, pod.restarts) == (uid, 0)
    later = Pod.create(namespace, "later", mounts={"/data": claim}).wait_running()
    assert later.run("cat /data/file") == "canary"  # S15


def test_the_node_lists_the_driver_again_after_its_plugin_was_killed(
    installation: Installation, namespace: Namespace
) -> None:
    with installation.registering():  # N18
        installation.node.kill()
        installation.node.start()

    Pod.create(namespace, mounts={"/data": Claim.create(namespace)}).wait_running()


def test_the_node_lists_a_driver_that_came_while_the_api_server_was_away(
    installation: Installation, namespace: Namespace
) -> None:  # S27, N18: before 1.36 kubelet itself never tries again
    before = installation.refusals()

    with installation.registering(), installation.cluster.without_api_server():
        installation.node.restart()
        refused = "kubelet refuses to register the driver"
        wait_until(lambda: installation.refusals() > before, refused, seconds=PATIENCE_SECONDS)

    Pod.create(namespace, mounts={"/data": Claim.create(namespace)}).wait_running()


def test_another_replica_takes_over_in_the_middle_of_an_attach(
    installation: Installation, namespace: Namespace, slow_cloud: Cloud
) -> None:
    attach = "attach-block-storage-volume-to-instance"
    installation.standby.start()
    with begun(namespace, slow_cloud, attach):
        pod = Pod.create(namespace, mounts={"/data": Claim.create(namespace)})

    installation.swap_replicas()

    pod.wait_running()  # F16
    assert len(slow_cloud.volumes(namespace.name)) == 1


def _mkfs_of(namespace: Namespace, cloud: Cloud) -> int | None:
    """Return the process that makes a file system on a device of the namespace, if there is one."""
    devices = {volume.device for volume in cloud.volumes(namespace.name)} - {""}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        program, *arguments = _command(entry)
        if program.startswith("mkfs") and not devices.isdisjoint(arguments):
            return int(entry.parent.name)
    return None


def _command(entry: Path) -> list[str]:
    try:
        return entry.read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return [""]  # ended meanwhile


def _is_only_staged(volume: BoundVolume) -> bool:
    points = mounts_below(KUBELET)
    published = any(volume.name in point.parts for point in points)
    return not published and any(point.is_relative_to(volume.staging_folder) for point in points)


def _is_detached(volume: BoundVolume, cloud: Cloud) -> bool:
    found = cloud.volume(volume.uuid)
    return found is not None and found.state == "detached"


def _answers(pod: Pod) -> bool:
    try:
        pod.run("true")
    except subprocess.CalledProcessError:
        return False
    return True
