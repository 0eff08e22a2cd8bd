"""Flow 3: every pod of a stateful set finds its own volume again, also at the node's limit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.driver import ATTACH_LIMIT, node_plugin
from tests.kubernetes.cluster.installation import Installation
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod, StatefulSet
from tests.support.waiting import wait_until

_PODS = 5
_SMALL_LIMIT = 5
_QUOTA = "block-storage-volume-attachments"


@pytest.fixture
def small_node(installation: Installation, cloud: Cloud) -> Iterator[None]:
    """Let the node have as many volumes as the platform grants by default."""
    with cloud.limited(_QUOTA, _SMALL_LIMIT):
        try:
            _set_limit(installation, _SMALL_LIMIT)
            yield
        finally:
            _set_limit(installation, ATTACH_LIMIT)


def test_every_pod_finds_its_own_canary_after_scaling(namespace: Namespace) -> None:
    stateful_set = StatefulSet.create(namespace, replicas=3)
    stateful_set.scale(_PODS)
    for ordinal in range(_PODS):
        pod = stateful_set.pod(ordinal).wait_running()
        pod.run(f"echo {pod.name} > /data/canary && sync -f /data")

    stateful_set.scale(1)
    stateful_set.wait_pods_gone(range(1, _PODS))
    stateful_set.scale(0)
    stateful_set.wait_pods_gone(range(_PODS))
    stateful_set.scale(_PODS)

    for ordinal in range(_PODS):
        pod = stateful_set.pod(ordinal).wait_running()
        assert pod.run("cat /data/canary") == pod.name


@pytest.mark.alone
@pytest.mark.usefixtures("small_node")
def test_a_pod_beyond_the_nodes_limit_waits_and_comes_when_one_goes(namespace: Namespace) -> None:
    stateful_set = StatefulSet.create(namespace, replicas=_SMALL_LIMIT)
    for ordinal in range(_SMALL_LIMIT):
        stateful_set.pod(ordinal).wait_running()

    sixth = Pod.create(namespace, "sixth", mounts={"/data": Claim.create(namespace)})

    sixth.wait_event("FailedScheduling", "exceed max volume count")  # S9
    stateful_set.scale(_SMALL_LIMIT - 1)
    sixth.wait_running()


def _set_limit(installation: Installation, limit: int) -> None:
    installation.node.stop()
    installation.node = node_plugin(limit)
    installation.node.start()
    wait_until(
        lambda: installation.cluster.attach_limit == limit, f"the node has a limit of {limit}"
    )
