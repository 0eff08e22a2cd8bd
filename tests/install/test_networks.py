"""The driver in a network that lets its pods reach only what they need."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from tests.chart.helm import NAMESPACE
from tests.install.containers import Container
from tests.install.egress import TO_KUBERNETES, only, ways_of
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import NETWORK_POLICY, NODE
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import (
    CLOUD_PORT,
    DRIVER_NAME,
    NODE_NAME,
    SERVICE_ADDRESS,
)
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot

pytestmark = pytest.mark.alone

_TAINT = f"{DRIVER_NAME}/agent-not-ready"
# The tests' cloud is at an address and a port that the real one does not have.
_TO_CLOUD = [
    {
        "to": [{"ipBlock": {"cidr": f"{SERVICE_ADDRESS}/32"}}],
        "ports": [{"protocol": "TCP", "port": CLOUD_PORT}],
    }
]


def test_controller_needs_no_way_but_its_policys_and_the_node_none_but_to_kubernetes(
    installation: HelmInstallation, namespace: Namespace
) -> None:  # N12, S10, S11
    installation.upgrade(
        "--set=networkPolicy.enabled=true",
        f"--set-json=networkPolicy.additionalEgress={json.dumps(_TO_CLOUD)}",
    )
    policy = installation.cluster.api.get(NETWORK_POLICY, "csi-exoblock-controller", NAMESPACE)
    drivers = _drivers(installation)
    with ExitStack() as closed:
        refused = {
            each.pod: closed.enter_context(
                only(each, [TO_KUBERNETES] if "-node-" in each.pod else ways_of(policy))
            )
            for each in drivers
        }
        installation.cluster.kubectl("taint", "nodes", NODE_NAME, f"{_TAINT}=:NoSchedule")

        for each in drivers:
            each.kill()  # what it asks at its start counts as well
        installation.system.wait(lambda: _runs_again(installation, drivers), "they run again")
        installation.wait_ready()
        namespace.wait(lambda: not _is_tainted(installation), "the start-up taint is gone")
        claim = Claim.create(namespace)
        pod = Pod.create(namespace, mounts={"/data": claim}).wait_running()
        pod.run("echo canary > /data/file && sync -f /data")
        Snapshot.create(namespace, of=claim).wait_ready()
        pod.delete()

        packets = {pod: count() for pod, count in refused.items()}
    installation.upgrade()

    assert set(packets.values()) == {0}, packets


def _drivers(installation: HelmInstallation) -> list[Container]:
    return [each for each in installation.containers() if each.name == "csi-exoblock"]


def _runs_again(installation: HelmInstallation, before: list[Container]) -> bool:
    now = {each.pid for each in _drivers(installation)}
    return len(now) == len(before) and now.isdisjoint(each.pid for each in before)


def _is_tainted(installation: HelmInstallation) -> bool:
    node = installation.cluster.api.get(NODE, NODE_NAME)
    return _TAINT in {taint.text("key") for taint in node.documents("spec", "taints")}
