"""A node that is drained, and disks that are not given back while somebody uses them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chart.helm import NAMESPACE
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import POD
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import NODE_NAME
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.test_expansion import wait_detached

_SLOW_SECONDS = 3.0
# Ends only when kubelet's patience does, 5 seconds after it was asked to.
_LINGER = "trap '' TERM; while true; do sleep 1; done"


@pytest.mark.alone
def test_plugin_of_a_drained_node_ends_once_the_last_volume_has_left(
    installation: HelmInstallation, namespace: Namespace, cloud: Cloud
) -> None:  # S22
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}, script=_LINGER).wait_running()
    pod.run("echo canary > /data/file")
    (plugin,) = installation.pods("node")
    name, uid = plugin.text("metadata", "name"), plugin.text("metadata", "uid")
    api = installation.cluster.api

    with cloud.slowed(_SLOW_SECONDS), installation.cordoned(), ThreadPoolExecutor() as threads:
        # The controllers would go as well; where there is a second node, they would come up there.
        drained = threads.submit(
            installation.cluster.kubectl,
            "drain", NODE_NAME, "--ignore-daemonsets", "--force", "--pod-selector=pod",
        )  # fmt: skip
        namespace.wait(lambda: _is_ending(namespace, pod), "the pod is asked to end")
        api.delete(POD, name, NAMESPACE)  # as the node's shutdown does
        namespace.wait(
            lambda: uid not in {each.text("metadata", "uid") for each in installation.pods("node")},
            "the plugin has ended",
        )
        attached = [each for each in cloud.volumes(namespace.name) if each.instance]
        drained.result()

    assert attached == []
    installation.wait_ready()
    reader = Pod.create(namespace, "reader", mounts={"/data": claim}).wait_running()
    assert reader.run("cat /data/file") == "canary"


def test_disk_that_a_process_outside_of_the_pod_has_open_is_not_given_back(
    installation: HelmInstallation, namespace: Namespace, cloud: Cloud
) -> None:  # D4
    raw = Claim.create(namespace, "raw", volume_mode="Block")
    pod = Pod.create(namespace, devices={"/dev/raw": raw}).wait_running()
    (volume,) = cloud.volumes(namespace.name)

    with open(volume.device, "rb"):  # by this process, which is in no container
        pod.delete()
        namespace.wait(
            lambda: f"pid {os.getpid()} (" in installation.node_log(),
            "the plugin says who uses the disk",
        )
        (held,) = cloud.volumes(namespace.name)

    assert held.instance
    wait_detached(namespace, cloud)


def _is_ending(namespace: Namespace, pod: Pod) -> bool:
    return bool(namespace.get(POD, pod.name).text("metadata", "deletionTimestamp"))
