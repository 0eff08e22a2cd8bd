"""The Debian packages that a node of Kubernetes needs."""

from __future__ import annotations

from typing import Final

# What each package is known by here: a command, or a file that no command stands for.
PACKAGES: Final = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "openssl": "openssl",
    "gcc": "gcc",
    "/usr/lib/x86_64-linux-gnu/libc.a": "libc6-dev",
}
