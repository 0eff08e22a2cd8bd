"""Flow 6: a claim that asks for more gets it as soon as its volume can be resized."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.installation import Installation
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.node_objects import node_object
from tests.kubernetes.cluster.places import ZONE
from tests.kubernetes.cluster.pods import Pod, StatefulSet
from tests.kubernetes.test_snapshots import size_mib

_RESIZER_SECONDS = 330.0  # it asks later after each refusal, at the latest after 5 minutes
GROWN_MIB = 1800  # of 2 GiB, less what the file system needs for itself
_QUOTA_GIB = 2000  # more than all flows together have, for it holds for all of them


def test_a_set_scaled_to_zero_comes_back_larger(namespace: Namespace, cloud: Cloud) -> None:
    stateful_set = StatefulSet.create(namespace, replicas=1)
    stateful_set.pod(0).wait_running().run("echo canary > /data/file")
    stateful_set.scale(0)
    stateful_set.wait_pods_gone(range(1))
    wait_detached(namespace, cloud)

    stateful_set.claim(0).request("2Gi")
    _wait_grown(namespace, cloud)
    stateful_set.scale(1)

    stateful_set.claim(0).wait_capacity("2Gi")  # S7
    pod = stateful_set.pod(0).wait_running()
    assert size_mib(pod, "/data") > GROWN_MIB
    assert pod.run("cat /data/file") == "canary"


@pytest.mark.long
@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
def test_a_claim_in_use_says_what_to_do_and_grows_with_the_next_pod(
    namespace: Namespace, cloud: Cloud, fstype: str
) -> None:
    with storage_class(namespace, {FSTYPE: fstype}) as made:
        claim = Claim.create(namespace, storage_class=made)
        first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
        first.run("echo canary > /data/file")

        claim.request("2Gi")

        claim.wait_event("VolumeResizeFailed", "FailedPrecondition", "pod")  # F11
        first.delete()
        wait_detached(namespace, cloud)  # a pod that comes sooner would keep it attached
        second = Pod.create(namespace, "second", mounts={"/data": claim}).wait_running()  # N1
        assert size_mib(second, "/data") > GROWN_MIB
        assert second.run("cat /data/file") == "canary"
        claim.wait_capacity("2Gi", seconds=_RESIZER_SECONDS)


@pytest.mark.alone
def test_a_claim_grows_with_its_next_attach_wherever_that_is(
    installation: Installation, namespace: Namespace, cloud: Cloud
) -> None:
    claim = Claim.create(namespace)
    first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
    first.run("echo canary > /data/file")
    claim.request("2Gi")
    claim.wait_event("VolumeResizeFailed", "FailedPrecondition", "pod")

    with (
        without_resizer(installation),
        node_object(namespace, cloud, "next-door", ZONE) as node,
    ):
        first.delete()
        node.report(ready=True)  # again, as the first pod may have left late
        second = Pod.create(namespace, "second", mounts={"/data": claim}, node=node.name)
        namespace.wait(lambda: _at(namespace, cloud, node.instance), "it is attached elsewhere")
        (volume,) = cloud.volumes(namespace.name)

        assert volume.size_gib == 2  # N1
        assert not volume.pending_gib
        second.abandon()
        wait_detached(namespace, cloud)

    third = Pod.create(namespace, "third", mounts={"/data": claim}).wait_running()
    assert size_mib(third, "/data") > GROWN_MIB
    assert third.run("cat /data/file") == "canary"
    claim.wait_capacity("2Gi", seconds=_RESIZER_SECONDS)


@pytest.mark.long
def test_a_growth_that_was_lowered_before_it_happened_is_the_lower_one(
    namespace: Namespace, cloud: Cloud
) -> None:
    claim = Claim.create(namespace)
    first = Pod.create(namespace, "first", mounts={"/data": claim}).wait_running()
    claim.request("3Gi")
    _wait_pending(namespace, cloud, "3")

    claim.request("2Gi")
    _wait_pending(namespace, cloud, "2")  # N1
    first.delete()
    wait_detached(namespace, cloud)

    second = Pod.create(namespace, "second", mounts={"/data": claim}).wait_running()
    assert GROWN_MIB < size_mib(second, "/data") < 2048
    claim.wait_capacity("2Gi", seconds=_RESIZER_SECONDS)
    assert [volume.size_gib for volume in cloud.volumes(namespace.name)] == [2]


def test_a_claim_beyond_the_quota_can_be_lowered_again(namespace: Namespace, cloud: Cloud) -> None:
    claim = Claim.create(namespace)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()
    pod.delete()
    wait_detached(namespace, cloud)

    with cloud.limited("block-storage", _QUOTA_GIB):
        claim.request(f"{2 * _QUOTA_GIB}Gi")
        claim.wait_event("VolumeResizeFailed", "OutOfRange", f"{_QUOTA_GIB}")  # S4
        claim.request("2Gi")

        _wait_grown(namespace, cloud)  # a pod that comes sooner would keep it as it is
        Pod.create(namespace, mounts={"/data": claim}).wait_running()
        claim.wait_capacity("2Gi", seconds=_RESIZER_SECONDS)
        assert [volume.size_gib for volume in cloud.volumes(namespace.name)] == [2]


def wait_detached(namespace: Namespace, cloud: Cloud) -> None:
    """Return when no instance has a volume of the namespace."""
    namespace.wait(
        lambda: not any(volume.instance for volume in cloud.volumes(namespace.name)),
        "the volumes are detached",
    )


@contextmanager
def without_resizer(installation: Installation) -> Iterator[None]:
    """Let nothing ask for growth during the block, so that only an attach can bring it about."""
    resizer = installation.controller_pod.sidecars["csi-resizer"]
    resizer.stop()
    try:
        yield
    finally:
        resizer.start()


def _wait_grown(namespace: Namespace, cloud: Cloud) -> None:
    namespace.wait(
        lambda: [volume.size_gib for volume in cloud.volumes(namespace.name)] == [2],
        "the volume has grown to 2 GiB in the cloud",
    )


def _at(namespace: Namespace, cloud: Cloud, instance: str) -> bool:
    return any(
        (volume.instance, volume.state) == (instance, "attached")
        for volume in cloud.volumes(namespace.name)
    )


def _wait_pending(namespace: Namespace, cloud: Cloud, size_gib: str) -> None:
    """Wait until the volume's label asks for that many GiB at its next attach."""
    namespace.wait(
        lambda: [volume.pending_gib for volume in cloud.volumes(namespace.name)] == [size_gib],
        f"the volume waits to grow to {size_gib} GiB",
    )
