"""Flow 11: a claim that cannot be met says why, and one of an odd size is met."""

from __future__ import annotations

import pytest

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import storage_class
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod


def test_an_unknown_class_parameter_is_named_with_those_that_are_known(
    namespace: Namespace, cloud: Cloud
) -> None:
    with storage_class(namespace, {"speed": "fast"}) as made:
        claim = Claim.create(namespace, storage_class=made)
        Pod.create(namespace, mounts={"/data": claim})

        claim.wait_event("ProvisioningFailed", "InvalidArgument", "speed", "labels")  # F11

        assert cloud.volumes(namespace.name) == []


def test_too_large_a_claim_says_what_the_largest_is(namespace: Namespace, cloud: Cloud) -> None:
    claim = Claim.create(namespace, size="20Ti")
    Pod.create(namespace, mounts={"/data": claim})

    claim.wait_event("ProvisioningFailed", "OutOfRange", "10240 GiB")  # C5

    assert cloud.volumes(namespace.name) == []


@pytest.mark.parametrize(("asked", "given"), [("512Mi", "1Gi"), ("1500Mi", "2Gi")])
def test_a_size_is_rounded_up_to_whole_gibibytes(
    namespace: Namespace, cloud: Cloud, asked: str, given: str
) -> None:
    claim = Claim.create(namespace, size=asked)
    pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()

    (volume,) = cloud.volumes(namespace.name)

    assert claim.capacity == f"{volume.size_gib}Gi" == given  # C5
    assert pod.run("echo canary > /data/file && cat /data/file") == "canary"
