"""Flow 2: a volume is made where its pod can run, and says why where it cannot be made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import storage_class
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.node_objects import node_object
from tests.kubernetes.cluster.places import DOOMED_ZONE, NODE_NAME, OTHER_ZONE, ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot


def test_the_volume_is_made_in_the_zone_of_its_pod(namespace: Namespace, cloud: Cloud) -> None:
    with node_object(namespace, cloud, "there", OTHER_ZONE) as node:
        here = Claim.create(namespace, "here")
        there = Claim.create(namespace, "there")
        Pod.create(namespace, "pod-here", mounts={"/data": here}, zone=ZONE)
        pod = Pod.create(namespace, "pod-there", mounts={"/data": there}, zone=OTHER_ZONE)

        assert here.wait_bound().zone == ZONE  # S12
        assert there.wait_bound().zone == OTHER_ZONE
        namespace.wait(
            lambda: [v for v in cloud.volumes(namespace.name) if v.instance == node.instance],
            "the volume is attached to the instance in the other zone",
        )
        pod.abandon()
        there.delete()
        namespace.wait(lambda: len(cloud.volumes(namespace.name)) == 1, "that volume is gone")


def test_a_claim_waits_while_its_zone_has_no_node(namespace: Namespace, cloud: Cloud) -> None:
    with storage_class(namespace, {}, zone=OTHER_ZONE) as made:
        claim = Claim.create(namespace, storage_class=made)
        pod = Pod.create(namespace, mounts={"/data": claim})

        pod.wait_event("FailedScheduling", "nodes are available")

        assert claim.phase == "Pending"
        assert cloud.volumes(namespace.name) == []


def test_a_claim_in_a_dead_zone_says_why_and_is_bound_once_it_lives(
    namespace: Namespace, cloud: Cloud
) -> None:
    cloud.add_fault(fault="drop", zone=DOOMED_ZONE)
    with node_object(namespace, cloud, "doomed", DOOMED_ZONE):
        claim = Claim.create(namespace)
        pod = Pod.create(namespace, mounts={"/data": claim}, zone=DOOMED_ZONE)

        claim.wait_event("ProvisioningFailed", DOOMED_ZONE)
        assert claim.phase == "Pending"
        cloud.heal()

        assert claim.wait_bound().zone == DOOMED_ZONE
        pod.abandon()
        claim.delete()
        namespace.wait(lambda: not cloud.volumes(namespace.name), "the cloud has no volume of it")


def test_a_restore_ends_in_the_zone_of_its_snapshot_though_its_pod_began_elsewhere(
    namespace: Namespace, cloud: Cloud
) -> None:
    source = Claim.create(namespace, "source")
    writer = Pod.create(namespace, "writer", mounts={"/data": source}).wait_running()
    writer.run("echo canary > /data/file && sync -f /data")
    snapshot = Snapshot.create(namespace, of=source).wait_ready()

    with node_object(namespace, cloud, "elsewhere", OTHER_ZONE) as elsewhere:
        with no_room_here(namespace) as occupant:
            elsewhere.report(ready=True)  # again, as the occupant may have come late
            restored = Claim.create(namespace, "restored", snapshot=snapshot.name)
            mounts = {"/data": restored}
            reader = Pod.create(
                namespace, "reader", mounts=mounts, preferred_zone=ZONE, apart_from=occupant
            )
            restored.wait_event("ProvisioningFailed", "ResourceExhausted", snapshot.handle, ZONE)

        assert restored.wait_bound().zone == ZONE  # S13
        assert reader.wait_running().run("cat /data/file") == "canary"
    assert len(cloud.volumes(namespace.name)) == 2


@contextmanager
def no_room_here(namespace: Namespace) -> Iterator[Pod]:
    """Have a pod on the real node during the block, apart from which others may be put."""
    occupant = Pod.create(namespace, "occupant", node=NODE_NAME).wait_running()
    try:
        yield occupant
    finally:
        occupant.delete()
