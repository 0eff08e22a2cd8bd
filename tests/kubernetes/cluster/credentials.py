"""Make the keys, tokens and kubeconfig files by which the cluster's programs know each other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

from tests.kubernetes.cluster.places import (
    API_SERVER,
    KUBECONFIG,
    NODE_NAME,
    PKI,
    SECOND_NAME,
    SERVICE_ADDRESS,
)

CERTIFICATE: Final = PKI / "cluster.crt"
"""One self-signed certificate, both authority and server: every program trusts exactly it."""

KEY: Final = PKI / "cluster.key"
SERVICE_ACCOUNT_KEY: Final = PKI / "service-accounts.key"
TOKENS: Final = PKI / "tokens.csv"

_USERS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    "kubelet-second": (f"system:node:{SECOND_NAME}", "system:nodes"),
}


def make_credentials() -> None:
    """Write every key, the token file and one kubeconfig for each user."""
    PKI.mkdir(parents=True, exist_ok=True)
    _openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=cluster",
        "-addext", f"subjectAltName=IP:127.0.0.1,DNS:localhost,IP:{SERVICE_ADDRESS}",
        "-keyout", KEY, "-out", CERTIFICATE,
    )  # fmt: skip
    _openssl("genrsa", "-out", SERVICE_ACCOUNT_KEY, "2048")
    rows = [f'{token_of(user)},{name},{user},"{group}"' for user, (name, group) in _USERS.items()]
    TOKENS.write_text("\n".join(rows) + "\n")
    for user in _USERS:
        kubeconfig_of(user).write_text(_kubeconfig(user))
    KUBECONFIG.write_text(_kubeconfig("admin"))


def kubeconfig_of(user: str) -> Path:
    """Return the path of a user's kubeconfig."""
    return PKI / f"{user}.kubeconfig"


def token_of(user: str) -> str:
    """Return a user's bearer token; it opens nothing but this cluster on loopback."""
    return f"{user}-token"


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _kubeconfig(user: str) -> str:
    cluster = {"server": API_SERVER, "certificate-authority": str(CERTIFICATE)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token_of(user)}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    return json.dumps(config, indent=2)
