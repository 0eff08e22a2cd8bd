"""The driver installed in the played cluster, from the manifests that this project ships."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from csi_exoblock.tools.doctor_pods import lease_name
from tests.apiserver.server import ApiServer
from tests.tools.objects import DRIVER, Object

NAMESPACE = "kube-system"
DEPLOYMENTS = "/apis/apps/v1/deployments"
DAEMON_SETS = "/apis/apps/v1/daemonsets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"

MANIFESTS = Path(__file__).parents[2] / "deploy" / "kubernetes" / "csi-exoblock.yaml"


def install(cluster: ApiServer) -> None:
    """Add the driver's workloads, a pod of each, and a leader for each sidecar."""
    deployment, daemon_set = (manifest(kind) for kind in ("Deployment", "DaemonSet"))
    cluster.lists[DEPLOYMENTS] = [deployment]
    cluster.lists[DAEMON_SETS] = [daemon_set]
    daemon_set["status"] = {"desiredNumberScheduled": 1}
    cluster.lists[PODS] = [pod(deployment), pod(daemon_set), pod(deployment, 2)]
    sidecars = containers(deployment)[1:]
    cluster.lists[LEASES] = [lease(each["name"]) for each in sidecars]


def manifest(kind: str) -> Object:
    """Return the only manifest of a kind."""
    found = yaml.safe_load_all(MANIFESTS.read_text())
    (only,) = (each for each in found if each and each["kind"] == kind)
    return dict(only)


def containers(workload: Object) -> list[Any]:
    """Return the containers of a workload's template; the driver's is the first."""
    found: list[Any] = workload["spec"]["template"]["spec"]["containers"]
    return found


def pod(workload: Object, number: int = 1) -> Object:
    """Return a pod of a workload, whose containers have run for a day."""
    running = {"state": {"running": {"startedAt": ago(days=1)}}, "restartCount": 0}
    statuses = [{"name": each["name"], **running} for each in containers(workload)]
    return {
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{workload['metadata']['name']}-{number}",
            "labels": workload["spec"]["template"]["metadata"]["labels"],
        },
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": "Running",
            "conditions": [condition("PodScheduled"), condition("Ready")],
            "containerStatuses": statuses,
        },
    }


def condition(kind: str, *, message: str = "", since: str = "") -> Object:
    """Return a condition of a pod, which is met unless it has a message."""
    return {
        "type": kind,
        "status": "False" if message else "True",
        "message": message,
        "lastTransitionTime": since or ago(days=1),
    }


def lease(sidecar: str) -> Object:
    """Return a sidecar's Lease, just renewed."""
    return {
        "metadata": {"name": lease_name(sidecar, DRIVER)},
        "spec": {
            "holderIdentity": "csi-exoblock-controller-1",
            "leaseDurationSeconds": 15,
            "renewTime": ago(),
        },
    }


def ago(**time: float) -> str:
    """Return a moment in the past, as Kubernetes writes it."""
    return (datetime.now(UTC) - timedelta(**time)).isoformat()
