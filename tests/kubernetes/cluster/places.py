"""Where the cluster keeps its things: one folder, and ports on the loopback address."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

DRIVER_NAME: Final = "exoblock.csi.exoscale.com"

STATE: Final = Path("/var/lib/csi-exoblock-test")
"""Everything the cluster writes; `cleaning.clean` leaves nothing below it."""

PROCESSES: Final = STATE / "processes"
LOGS: Final = STATE / "logs"
PKI: Final = STATE / "pki"
ETCD: Final = STATE / "etcd"
CONTAINERD: Final = STATE / "containerd"
CONTAINERD_SOCKET: Final = CONTAINERD / "containerd.sock"
CNI: Final = STATE / "cni"
KUBELET: Final = STATE / "kubelet"
KUBECONFIG: Final = STATE / "kubeconfig"
CSI_MOUNTS: Final = KUBELET / "plugins" / "kubernetes.io" / "csi"
STAGING: Final = CSI_MOUNTS / DRIVER_NAME
CSI: Final = STATE / "csi"
DEVICES: Final = STATE / "by-id"
CLOUD: Final = STATE / "cloud"
REQUESTS: Final = STATE / "requests"
"""What sidecars and kubelet sent: a file for each process of the driver, a line a request."""

ZONE: Final = "ch-gva-2"
"""The zone that the real node is in."""

OTHER_ZONE: Final = "de-fra-1"
"""A zone in which nodes are objects only, but for the flows that have a second real node there."""

DOOMED_ZONE: Final = "at-vie-2"
"""Another such zone, for the one flow that lets a zone die."""

INSTANCE: Final = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
"""The cloud's instance that the real node is."""

SECOND: Final = STATE / "second"
"""Where the second real node has its things, if there is one."""

SECOND_INSTANCE: Final = "c0a1f3e2-7d4b-4b8e-9a55-3e6f1b2d4c60"
"""The cloud's instance that the second real node is."""

FAR_INSTANCE: Final = "7b2d9c14-05ea-4f6b-b1d7-91c4e8a3f052"
"""The same where the second real node is in the other zone."""

SECOND_NAME: Final = "127.0.0.2"
"""The second real node: an address, so that nobody needs to resolve it."""

NODE_NAME: Final = socket.gethostname().lower()
"""The real node. It is the machine's own name because the API server must be able to resolve it."""

ETCD_PORT: Final = 22379
ETCD_PEER_PORT: Final = 22380
API_SERVER_PORT: Final = 26443
KUBELET_PORT: Final = 20250
KUBELET_HEALTH_PORT: Final = 20248
CLOUD_PORT: Final = 28080
OBJECT_STORE_PORT: Final = 28081

API_SERVER: Final = f"https://127.0.0.1:{API_SERVER_PORT}"

SERVICE_ADDRESS: Final = "10.96.0.1"
"""Where pods find the Kubernetes API, as Kubernetes tells them; see `ways.py`."""

SERVICE_PORT: Final = 443

POD_LOGS: Final = STATE / "pod-logs"
AUDIT_LOG: Final = LOGS / "audit.log"
"""What the driver's service accounts asked of the Kubernetes API: one JSON document a line."""
