"""Flow 9: while the API is away or throttles nothing is lost, and afterwards all is done."""

from __future__ import annotations

import time

import pytest

from tests.kubernetes.cluster.api import CLAIM, POD
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod

pytestmark = pytest.mark.alone

_SLOW_SECONDS = 8.0
_OUTAGE_SECONDS = 60
_STORM_SECONDS = 20
_STORM_PODS = 5


def test_a_minute_without_api_in_the_middle_of_everything_is_survived(
    namespace: Namespace, cloud: Cloud
) -> None:
    attached = _claim_that_was_used(namespace, "attached")
    doomed = _claim_that_was_used(namespace, "doomed")
    used = Claim.create(namespace, "used")
    leaving = Pod.create(namespace, "leaving", mounts={"/data": used}).wait_running()
    unwanted = _claim_that_was_used(namespace, "unwanted")
    kept = Claim.create(namespace, "kept")
    stopping = Pod.create(namespace, "stopping", mounts={"/data": kept}).wait_running()

    with cloud.slowed(_SLOW_SECONDS):
        namespace.remove(POD, leaving.name)
        pods = [
            Pod.create(namespace, "creates", mounts={"/data": Claim.create(namespace, "fresh")}),
            Pod.create(namespace, "attaches", mounts={"/data": attached}),
        ]
        namespace.remove(CLAIM, doomed.name)
        middle = {"creating", "attaching", "detaching", "deleting"}
        namespace.wait(
            lambda: middle <= {volume.state for volume in cloud.volumes(namespace.name)},
            "one volume is in the middle of each operation",
        )
        cloud.add_fault(fault="drop")
    namespace.remove(POD, stopping.name)  # what was begun may end by itself, this may not
    namespace.remove(CLAIM, unwanted.name)
    time.sleep(_OUTAGE_SECONDS)
    cloud.heal()

    for pod in pods:
        pod.wait_running(seconds=180)
    namespace.wait(
        lambda: _states(cloud, namespace) == ["attached", "attached", "detached", "detached"],
        "one volume was made, one attached, two detached and two deleted",
    )
    assert pods[1].run("cat /data/file") == "attached"


def test_pods_come_up_by_themselves_after_a_storm_of_refusals(
    namespace: Namespace, cloud: Cloud
) -> None:
    cloud.add_fault(fault="refuse", status=429, retry_after=1, probability=0.8)
    pods = [
        Pod.create(
            namespace,
            f"app-{number}",
            mounts={"/data": Claim.create(namespace, f"data-{number}")},
        )
        for number in range(_STORM_PODS)
    ]
    time.sleep(_STORM_SECONDS)

    cloud.heal()

    for pod in pods:
        pod.wait_running(seconds=180)
    assert len(cloud.volumes(namespace.name)) == _STORM_PODS  # C2


def _claim_that_was_used(namespace: Namespace, name: str) -> Claim:
    """Return a claim whose volume has a file with the claim's name, and is detached."""
    claim = Claim.create(namespace, name)
    pod = Pod.create(namespace, f"user-of-{name}", mounts={"/data": claim}).wait_running()
    pod.run(f"echo {name} > /data/file && sync -f /data")
    pod.delete()
    return claim


def _states(cloud: Cloud, namespace: Namespace) -> list[str]:
    return sorted(volume.state for volume in cloud.volumes(namespace.name))
