"""Flow 15: the scheduler knows what the quota leaves, where that is asked for (N4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster.api import CAPACITY
from tests.kubernetes.cluster.claims import DEFAULT_CLASS, Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.installation import Installation
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.sidecars import NAMESPACE
from tests.kubernetes.recording.examples import Examples, compare, examples

pytestmark = pytest.mark.alone

_QUOTA = "block-storage"
_LEFT_GIB = 5


@pytest.fixture
def known_capacity(installation: Installation) -> Iterator[None]:
    """Have the driver and the provisioner tell the scheduler what the quota leaves."""
    with installation.capacity_known():
        yield


@pytest.mark.usefixtures("known_capacity")
def test_a_pod_waits_until_the_quota_leaves_room_for_its_claim(
    namespace: Namespace, cloud: Cloud
) -> None:
    used_gib = sum(volume.size_gib for volume in cloud.volumes())
    # What flows before this one deleted would still be counted for two minutes.
    with cloud.answering("quota-usage", "exact"), cloud.limited(_QUOTA, used_gib + _LEFT_GIB):
        namespace.wait(
            lambda: _capacities(namespace) == {f"{_LEFT_GIB}Gi"},
            "the cluster knows what the quota leaves",
        )
        pod = Pod.create(namespace, mounts={"/data": Claim.create(namespace, size="10Gi")})

        pod.wait_event("FailedScheduling", "not have enough free storage")
        assert cloud.volumes(namespace.name) == []

    pod.wait_running()


@pytest.mark.usefixtures("known_capacity")
def test_the_provisioner_asks_for_capacity_as_other_tests_do(namespace: Namespace) -> None:
    namespace.wait(
        lambda: "ext4" in _seen(namespace).get("GetCapacity", {}),
        "the provisioner asks for the capacity",
    )

    compare(_seen(namespace), {"GetCapacity": ("ext4",)}, namespace=namespace.name)


def _seen(namespace: Namespace) -> Examples:
    return examples({}, namespace=namespace.name)


def _capacities(namespace: Namespace) -> set[str]:
    """Return what is left for the class that everybody uses, in each zone that has a node."""
    return {
        capacity.text("capacity")
        for capacity in namespace.cluster.api.list(CAPACITY, NAMESPACE)
        if capacity.text("storageClassName") == DEFAULT_CLASS
    }
