"""What moves between nodes: pods with their volumes, from a node that is well, drained or dead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.install.installation import HelmInstallation
from tests.install.second_node import SecondNode
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import INSTANCE, NODE_NAME, SECOND_INSTANCE
from tests.kubernetes.cluster.pods import Pod, StatefulSet
from tests.kubernetes.flows import TEST_SECONDS, begun

pytestmark = [pytest.mark.alone, pytest.mark.two_nodes]

# Kubernetes believes for 50 seconds that a silent node is well, and then still waits for its pods.
_DEATH_SECONDS = 240.0
# Kubernetes detaches from a node that is not ready 6 minutes after the last pod there was deleted.
_FORCE_SECONDS = 480.0
_SLOW_SECONDS = 40.0


@pytest.fixture(scope="module")
def second(installation: HelmInstallation) -> Iterator[SecondNode]:
    """The second node, with the driver on it."""
    with SecondNode.running(installation) as node:
        yield node


def test_a_pod_moves_with_its_data_and_back(
    namespace: Namespace, second: SecondNode, cloud: Cloud
) -> None:
    claim = Claim.create(namespace)
    for ordinal, (node, instance) in enumerate(
        [(NODE_NAME, INSTANCE), (second.name, SECOND_INSTANCE), (NODE_NAME, INSTANCE)]
    ):
        pod = Pod.create(namespace, f"p{ordinal}", mounts={"/data": claim}, node=node)
        pod.wait_running().run(f"echo {ordinal} >> /data/file && sync -f /data")
        (volume,) = cloud.volumes(namespace.name)
        assert volume.instance == instance
        assert pod.run("cat /data/file").split() == [str(each) for each in range(ordinal + 1)]
        pod.delete()


def test_a_drained_node_hands_its_volumes_over(
    installation: HelmInstallation, namespace: Namespace, second: SecondNode, cloud: Cloud
) -> None:  # S22
    with installation.cordoned():
        stateful_set = StatefulSet.create(namespace, replicas=2)
        for ordinal in range(2):
            stateful_set.pod(ordinal).wait_running().run("echo canary > /data/file")
    installation.cluster.kubectl(
        "drain", second.name, "--ignore-daemonsets", "--force", "--pod-selector=set"
    )
    try:
        for ordinal in range(2):
            assert stateful_set.pod(ordinal).wait_running().run("cat /data/file") == "canary"
        assert {each.instance for each in cloud.volumes(namespace.name)} == {INSTANCE}
    finally:
        installation.cluster.kubectl("uncordon", second.name)


def test_a_dead_nodes_volume_goes_on_elsewhere_and_the_node_comes_back(
    installation: HelmInstallation, namespace: Namespace, second: SecondNode, cloud: Cloud
) -> None:  # S1
    stateful_set = used_on_the_second_node(installation, namespace)

    second.lose_power()
    wait_silence_noticed(namespace, second)
    assert [each.instance for each in cloud.volumes(namespace.name)] == [SECOND_INSTANCE]
    second.take_out_of_service()
    try:
        namespace.wait(
            lambda: [each.instance for each in cloud.volumes(namespace.name)] == [INSTANCE],
            "the volume is at the other node",
            seconds=_DEATH_SECONDS,
        )
        assert stateful_set.pod(0).wait_running().run("cat /data/file") == "canary"
    finally:
        second.come_back()
        second.return_to_service()

    with installation.cordoned():
        stateful_set.scale(0)
        stateful_set.wait_pods_gone(range(1))
        stateful_set.scale(1)
        assert stateful_set.pod(0).wait_running().run("cat /data/file") == "canary"


@pytest.mark.slow
@pytest.mark.timeout(TEST_SECONDS + _FORCE_SECONDS)
def test_a_dead_nodes_volume_is_detached_by_force_where_nobody_says_that_it_is_off(
    installation: HelmInstallation, namespace: Namespace, second: SecondNode, cloud: Cloud
) -> None:  # S1
    stateful_set = used_on_the_second_node(installation, namespace)
    pod = stateful_set.pod(0)

    second.lose_power()
    try:
        wait_silence_noticed(namespace, second)
        pod.abandon()
        pod.wait_event("FailedAttachVolume", "already exclusively attached to one node")
        assert [each.instance for each in cloud.volumes(namespace.name)] == [SECOND_INSTANCE]
        assert pod.wait_running(_FORCE_SECONDS).run("cat /data/file") == "canary"
        assert [each.instance for each in cloud.volumes(namespace.name)] == [INSTANCE]
    finally:
        second.come_back()

    with installation.cordoned():
        stateful_set.scale(0)
        stateful_set.wait_pods_gone(range(1))
        stateful_set.scale(1)
        assert pod.wait_running().run("cat /data/file") == "canary"
        assert [each.instance for each in cloud.volumes(namespace.name)] == [SECOND_INSTANCE]


def test_a_pod_that_comes_while_its_volume_is_still_leaving_gets_it_then(
    namespace: Namespace, second: SecondNode, cloud: Cloud
) -> None:  # S3, D3
    claim = Claim.create(namespace)
    first = Pod.create(namespace, "first", mounts={"/data": claim}, node=second.name)
    first.wait_running().run("echo canary > /data/file && sync -f /data")
    detach = "detach-block-storage-volume"
    asked = cloud.calls(detach)

    with cloud.slowed(_SLOW_SECONDS), begun(namespace, cloud, detach):
        first.delete()
    following = Pod.create(namespace, "next", mounts={"/data": claim}, node=NODE_NAME)
    assert [each.state for each in cloud.volumes(namespace.name)] == ["detaching"]

    assert following.wait_running(3 * _SLOW_SECONDS).run("cat /data/file") == "canary"
    (volume,) = cloud.volumes(namespace.name)
    assert (volume.instance, volume.state) == (INSTANCE, "attached")
    assert cloud.calls(detach) == asked + 1


def test_a_full_node_gets_no_pod_more_until_a_volume_has_left(
    namespace: Namespace, second: SecondNode
) -> None:  # S9
    second.upgrade("--set=node.additionalDaemonSets.second.volumeAttachLimit=1")
    namespace.wait(lambda: second.attach_limit == 1, "CSINode has the new limit")
    try:
        claims = [Claim.create(namespace, name) for name in ("first", "next")]
        first = Pod.create(namespace, "first", mounts={"/data": claims[0]}, node=second.name)
        first.wait_running()
        following = Pod.create(namespace, "next", mounts={"/data": claims[1]}, node=second.name)

        following.wait_event("FailedScheduling", "max volume count")
        first.delete()

        following.wait_running()
    finally:
        second.upgrade()


def used_on_the_second_node(installation: HelmInstallation, namespace: Namespace) -> StatefulSet:
    """Return a StatefulSet whose pod runs on the second node and has written to its volume."""
    with installation.cordoned():
        stateful_set = StatefulSet.create(namespace, replicas=1)
        pod = stateful_set.pod(0).wait_running()
        pod.run("echo canary > /data/file && sync -f /data")
    return stateful_set


def wait_silence_noticed(namespace: Namespace, node: SecondNode) -> None:
    """Return when Kubernetes has seen that a node says nothing any more."""
    namespace.wait(
        lambda: not namespace.cluster.is_node_ready(node.name),
        "its silence is noticed",
        seconds=_DEATH_SECONDS,
    )
