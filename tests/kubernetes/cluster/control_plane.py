"""The programs that make up Kubernetes' control plane, each as a process on loopback."""

from __future__ import annotations

import json
from pathlib import Path

from tests.kubernetes.cluster import credentials
from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.minors import chosen
from tests.kubernetes.cluster.places import (
    API_SERVER_PORT,
    AUDIT_LOG,
    ETCD,
    ETCD_PEER_PORT,
    ETCD_PORT,
    STATE,
)

_ETCD_URL = f"http://127.0.0.1:{ETCD_PORT}"
_ETCD_PEER_URL = f"http://127.0.0.1:{ETCD_PEER_PORT}"


_AUDIT_POLICY = STATE / "audit-policy.json"
# Service accounts that the chart makes in kube-system; all others are left out.
_AUDITED = [
    f"system:serviceaccount:kube-system:csi-exoblock-{who}" for who in ("controller", "node")
]


def write_audit_policy() -> None:
    """Write which requests the API server records: those of the driver's accounts (S23)."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": _AUDITED}, {"level": "None"}],
    }
    _AUDIT_POLICY.write_text(json.dumps(policy))


def control_plane(programs: Path) -> tuple[Daemon, ...]:
    """Describe etcd, the API server, the controller manager and the scheduler."""
    return (_etcd(), _api_server(programs), _controller_manager(programs), _scheduler(programs))


def _etcd() -> Daemon:
    return Daemon(
        name="etcd",
        command=[
            "etcd",
            # The disks of all volumes are files beside its own: a flush of theirs would hold it up.
            "--unsafe-no-fsync",
            f"--data-dir={ETCD}",
            f"--listen-client-urls={_ETCD_URL}",
            f"--advertise-client-urls={_ETCD_URL}",
            f"--listen-peer-urls={_ETCD_PEER_URL}",
            f"--initial-advertise-peer-urls={_ETCD_PEER_URL}",
            f"--initial-cluster=default={_ETCD_PEER_URL}",
        ],
    )


def _api_server(programs: Path) -> Daemon:
    return Daemon(
        name="kube-apiserver",
        command=[
            programs / "kube-apiserver",
            f"--etcd-servers={_ETCD_URL}",
            "--bind-address=127.0.0.1",
            f"--secure-port={API_SERVER_PORT}",
            f"--tls-cert-file={credentials.CERTIFICATE}",
            f"--tls-private-key-file={credentials.KEY}",
            f"--client-ca-file={credentials.CERTIFICATE}",
            f"--token-auth-file={credentials.TOKENS}",
            "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={credentials.SERVICE_ACCOUNT_KEY}",
            f"--service-account-signing-key-file={credentials.SERVICE_ACCOUNT_KEY}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            f"--feature-gates={_feature_gates()}",
            f"--audit-policy-file={_AUDIT_POLICY}",
            f"--audit-log-path={AUDIT_LOG}",
            # It would publish the address it serves on as an endpoint, and refuses a loopback one.
            "--endpoint-reconciler-type=none",
            # For logs and exec it calls the kubelet, which listens on loopback only.
            "--kubelet-preferred-address-types=Hostname",
            f"--kubelet-client-certificate={credentials.CERTIFICATE}",
            f"--kubelet-client-key={credentials.KEY}",
        ],
    )


def _feature_gates() -> str:
    gates = chosen().feature_gates
    return ",".join(f"{name}={str(on).lower()}" for name, on in gates.items())


def _controller_manager(programs: Path) -> Daemon:
    return Daemon(
        name="kube-controller-manager",
        command=[
            programs / "kube-controller-manager",
            f"--kubeconfig={credentials.kubeconfig_of('controller-manager')}",
            f"--root-ca-file={credentials.CERTIFICATE}",
            f"--service-account-private-key-file={credentials.SERVICE_ACCOUNT_KEY}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
        ],
    )


def _scheduler(programs: Path) -> Daemon:
    return Daemon(
        name="kube-scheduler",
        command=[
            programs / "kube-scheduler",
            f"--kubeconfig={credentials.kubeconfig_of('scheduler')}",
            "--leader-elect=false",
            "--secure-port=0",
        ],
    )
