"""Flow 9: while the API is away or throttles nothing is lost, and afterwards all is done."""

from __future__ import annotations

import time

import pytest

from tests.kubernetes.cluster.api import CLAIM, POD
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.test_expansion import wait_detached

pytestmark = pytest.mark.alone

# Above what a pod takes to end on a busy machine: only then does its volume begin to detach.
_SLOW_SECONDS = 30.0
_OUTAGE_SECONDS = 60
_STORM_SECONDS = 20
_STORM_PODS = 5


def test_a_minute_without_api_in_the_middle_of_everything_is_survived(
    namespace: Namespace, cloud: Cloud
) -> None:
    attached, doomed, unwanted = _claims_that_were_used(
        namespace, cloud, "attached", "doomed", "unwanted"
    )
    leaving, stopping = (
        Pod.create(namespace, name, mounts={"/data": Claim.create(namespace, f"of-{name}")})
        for name in ("leaving", "stopping")
    )
    leaving.wait_running()
    stopping.wait_running()

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
        pod.wait_running()
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
        pod.wait_running()
    assert len(cloud.volumes(namespace.name)) == _STORM_PODS  # C2


def _claims_that_were_used(namespace: Namespace, cloud: Cloud, *names: str) -> list[Claim]:
    """Return claims whose volumes have a file with the claim's name each, and are detached."""
    claims = [Claim.create(namespace, name) for name in names]
    pods = [
        Pod.create(namespace, f"user-of-{claim.name}", mounts={"/data": claim}) for claim in claims
    ]
    for pod, name in zip(pods, names, strict=True):
        pod.wait_running().run(f"echo {name} > /data/file && sync -f /data")
    for pod in pods:
        namespace.remove(POD, pod.name)
    wait_detached(namespace, cloud)
    return claims


def _states(cloud: Cloud, namespace: Namespace) -> list[str]:
    return sorted(volume.state for volume in cloud.volumes(namespace.name))
