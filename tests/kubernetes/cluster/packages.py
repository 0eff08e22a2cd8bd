"""Install the Debian packages that a node of Kubernetes needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# What each package is known by here: a command, or a file that no command stands for.
_PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "busybox": "busybox-static",
    "openssl": "openssl",
    "gcc": "gcc",
    "/usr/lib/x86_64-linux-gnu/libc.a": "libc6-dev",
}


def install_packages() -> None:
    """Install what is missing, with apt-get.

    Raises:
        subprocess.CalledProcessError: apt-get refused; its own words are on standard error.
    """
    missing = [package for known, package in _PACKAGES.items() if not _is_there(known)]
    if missing:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *missing)


def _is_there(known: str) -> bool:
    return Path(known).exists() if known.startswith("/") else shutil.which(known) is not None


def _apt_get(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "--quiet=2", *arguments], env=environment, check=True)
