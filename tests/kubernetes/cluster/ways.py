"""The ways that pods have to what listens on loopback: the Kubernetes API, and the cloud.

Kubernetes tells pods to find its API at the first address of the services. No kube-proxy leads them
from there, so that this machine has the address itself, and a process hands on what comes to it.
"""

from __future__ import annotations

import subprocess
from typing import Final

from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.places import (
    API_SERVER_PORT,
    CLOUD_PORT,
    SERVICE_ADDRESS,
    SERVICE_PORT,
)

CLOUD_ENDPOINT: Final = f"http://{SERVICE_ADDRESS}:{CLOUD_PORT}/{{zone}}/v2"
"""The cloud's API as pods reach it."""

_ADDRESS = (f"{SERVICE_ADDRESS}/32", "dev", "lo")


def open_ways() -> tuple[Daemon, ...]:
    """Give this machine the address, start what hands on, and return it."""
    subprocess.run(["ip", "address", "replace", *_ADDRESS], check=True)
    daemons = (
        _way("way-to-kubernetes", SERVICE_PORT, API_SERVER_PORT),
        _way("way-to-cloud", CLOUD_PORT, CLOUD_PORT),
    )
    for daemon in daemons:
        daemon.start()
    return daemons


def remove_address() -> None:
    """Take the address from this machine, if it has it."""
    subprocess.run(["ip", "address", "del", *_ADDRESS], check=False, capture_output=True)


def _way(name: str, port: int, to_port: int) -> Daemon:
    listen = f"TCP-LISTEN:{port},bind={SERVICE_ADDRESS},fork,reuseaddr"
    return Daemon(name=name, command=["socat", listen, f"TCP:127.0.0.1:{to_port}"])
