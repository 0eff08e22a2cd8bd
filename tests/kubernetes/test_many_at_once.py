"""Flow 10: many claims at once, all gone with their namespace; and the volumes of a dead node."""

from __future__ import annotations

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.node_objects import node_object
from tests.kubernetes.cluster.places import INSTANCE, NODE_NAME, ZONE
from tests.kubernetes.cluster.pods import Pod

_MANY = 30


@pytest.mark.alone
def test_thirty_claims_and_pods_come_and_go_with_their_namespace(
    namespace: Namespace, cloud: Cloud
) -> None:
    claims = [Claim.create(namespace, f"data-{number}") for number in range(_MANY)]

    pods = [
        Pod.create(namespace, f"app-{number}", mounts={"/data": claim})
        for number, claim in enumerate(claims)
    ]

    for pod in pods:
        pod.wait_running()
    volumes = cloud.volumes(namespace.name)
    assert len(volumes) == _MANY  # C1
    assert {volume.instance for volume in volumes} == {INSTANCE}

    namespace.remove_itself()

    namespace.wait_gone()
    namespace.wait(lambda: not cloud.volumes(namespace.name), "the cloud has no volume of it")


def test_the_volume_of_a_dead_node_is_freed_by_the_out_of_service_taint(
    namespace: Namespace, cloud: Cloud
) -> None:
    claim = Claim.create(namespace)
    with node_object(namespace, cloud, "dies", ZONE) as node:
        lost = Pod.create(namespace, "lost", mounts={"/data": claim}, node="dies")
        namespace.wait(
            lambda: [v for v in cloud.volumes(namespace.name) if v.instance == node.instance],
            "the volume is attached to the node that will die",
        )

        cloud.set_instance_state(ZONE, node.instance, "stopped")
        node.report(ready=False)
        node.take_out_of_service()
        heir = Pod.create(namespace, "heir", mounts={"/data": claim}, node=NODE_NAME)

        heir.wait_running()  # S1
        assert [volume.instance for volume in cloud.volumes(namespace.name)] == [INSTANCE]
        lost.abandon()
