"""The driver's pods have the rights and the memory they need, and no others.

What looks back at the flows runs after them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chart.helm import NAMESPACE, Manifest, render
from tests.install import audit
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import DEPLOYMENT, POD, SERVICE_ACCOUNT
from tests.kubernetes.cluster.api import NAMESPACE as NAMESPACES

_PROGRAM = "csi-exoblock"
# Roles of the driver's own processes; the others are the sidecars', as upstream has them.
_OWN = ("csi-exoblock-controller", "csi-exoblock-node")


def test_controllers_pod_passes_the_restricted_pod_security_standard(
    installation: HelmInstallation,
) -> None:  # N12
    api = installation.cluster.api
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create(NAMESPACES, {"metadata": {"name": "restricted", "labels": labels}})
    installation.system.wait(
        lambda: api.find(SERVICE_ACCOUNT, "default", "restricted"), "a default service account"
    )
    deployment = api.get(DEPLOYMENT, "csi-exoblock-controller", NAMESPACE)
    spec = deployment.document("spec", "template", "spec").content
    plain = {"serviceAccountName": "default", "priorityClassName": ""}
    manifest = {"metadata": {"name": "controller"}, "spec": {**spec, **plain}}

    api.create(POD, manifest, "restricted", dry_run=True)


@pytest.mark.alone
def test_no_request_of_the_drivers_accounts_was_forbidden(
    installation: HelmInstallation,
) -> None:  # S23
    asked = audit.requests()

    assert asked.total() > 100
    assert [each for each in asked if each.forbidden] == []


@pytest.mark.alone
@pytest.mark.usefixtures("installation")
def test_flows_use_every_right_that_the_driver_itself_has() -> None:  # S23
    used = {
        (each.account, each.resource, each.verb)
        for each in audit.requests()
        if each.program == _PROGRAM and not each.forbidden
    }

    assert set(_own_rights()) - used == set()


@pytest.mark.alone
def test_no_process_of_the_driver_ran_out_of_memory(installation: HelmInstallation) -> None:
    assert [each for each in installation.containers() if each.kills] == []


def _own_rights() -> Iterator[tuple[str, str, str]]:
    """Yield account, resource and verb of each right of the driver's own roles."""
    for role in _of_kind("ClusterRole", "Role"):
        account = role["metadata"]["name"]
        for rule in role["rules"] if account in _OWN else ():
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    if resource == "leases":  # the sidecars' leader election
                        continue
                    for verb in rule["verbs"]:
                        yield account, "/".join(filter(None, (group, resource))), verb


def _of_kind(*kinds: str) -> list[Manifest]:
    return [each for each in render() if each["kind"] in kinds]
