"""Controllers that die under load."""

from __future__ import annotations

from functools import partial

import pytest

from tests.install.containers import Container
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.flows import begun

pytestmark = pytest.mark.alone

_AT_ONCE = 4
_CONTAINERS = 5  # driver and sidecars
_SLOW_SECONDS = 2.0
_CREATE = "create-block-storage-volume"


def test_claims_come_up_though_both_controllers_are_killed_in_turn(
    installation: HelmInstallation, namespace: Namespace, cloud: Cloud
) -> None:  # F16, C1
    before = _restarts(installation)
    pods = []
    with cloud.slowed(_SLOW_SECONDS):
        for replica in sorted(before):
            pods += _begin(namespace, cloud, replica)
            for container in _of(installation, replica):
                container.kill()
            installation.system.wait(partial(_runs_again, installation, replica, before), replica)
            installation.wait_ready()
    for pod in pods:
        pod.wait_running()

    assert len(cloud.volumes(namespace.name)) == len(pods)


def _begin(namespace: Namespace, cloud: Cloud, name: str) -> list[Pod]:
    """Start some pods with a claim each, and return once the first volume is being created."""
    pods = []
    with begun(namespace, cloud, _CREATE):
        for ordinal in range(_AT_ONCE):
            claim = Claim.create(namespace, f"{name}-{ordinal}")
            pods.append(Pod.create(namespace, f"{name}-{ordinal}", mounts={"/data": claim}))
    return pods


def _runs_again(installation: HelmInstallation, replica: str, before: dict[str, int]) -> bool:
    """Return whether each of its containers was started once more."""
    killed = len(_of(installation, replica)) == _CONTAINERS
    return killed and _restarts(installation)[replica] >= before[replica] + _CONTAINERS


def _of(installation: HelmInstallation, replica: str) -> list[Container]:
    return [each for each in installation.containers() if each.pod == replica]


def _restarts(installation: HelmInstallation) -> dict[str, int]:
    return {
        pod.text("metadata", "name"): sum(
            status.number("restartCount") for status in pod.documents("status", "containerStatuses")
        )
        for pod in installation.pods("controller")
    }
