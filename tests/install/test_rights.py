"""The driver's pods have the rights they need, and no others."""

from __future__ import annotations

import json

import pytest

from tests.chart.helm import NAMESPACE
from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import DEPLOYMENT, POD
from tests.kubernetes.cluster.api import NAMESPACE as NAMESPACES
from tests.kubernetes.cluster.places import AUDIT_LOG


def test_controllers_pod_passes_the_restricted_pod_security_standard(
    installation: HelmInstallation,
) -> None:  # N12
    api = installation.cluster.api
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create(NAMESPACES, {"metadata": {"name": "restricted", "labels": labels}})
    deployment = api.get(DEPLOYMENT, "csi-exoblock-controller", NAMESPACE)
    spec = deployment.document("spec", "template", "spec").content
    plain = {"serviceAccountName": "default", "priorityClassName": ""}
    manifest = {"metadata": {"name": "controller"}, "spec": {**spec, **plain}}

    api.create(POD, manifest, "restricted", dry_run=True)


@pytest.mark.alone
def test_no_request_of_the_drivers_accounts_was_forbidden(
    installation: HelmInstallation,
) -> None:  # S23
    forbidden = set()
    seen = 0
    for line in AUDIT_LOG.read_text().splitlines():
        event = json.loads(line)
        seen += 1
        if event.get("responseStatus", {}).get("code") == 403:
            who = event["user"]["username"].rpartition(":")[2]
            what = event.get("objectRef", {})
            forbidden.add(f"{who} {event['verb']} {what.get('resource')} {what.get('namespace')}")

    assert seen > 100
    assert forbidden == set()
