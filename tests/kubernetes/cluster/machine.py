"""The one real node: containerd, a network for its pods, and the kubelet."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.kubernetes.cluster import credentials, images
from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.places import (
    CNI,
    CONTAINERD,
    CONTAINERD_SOCKET,
    INSTANCE,
    KUBELET,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    NODE_NAME,
    POD_LOGS,
    SERVICE_ADDRESS,
    STATE,
    VOLUME_HEALTH,
    ZONE,
)

_CONTAINERD_CONFIG = CONTAINERD / "config.toml"
_KUBELET_CONFIG = STATE / "kubelet.json"
_CNI_PLUGINS = Path("/usr/lib/cni")


def prepare_machine() -> None:
    """Write every setting of the node and let mounts of the kubelet's folder be seen everywhere."""
    for folder in (CONTAINERD, CNI, KUBELET):
        folder.mkdir(parents=True)
    _CONTAINERD_CONFIG.write_text(_containerd_config())
    (CNI / "pods.conf").write_text(json.dumps(_pod_network()))
    _KUBELET_CONFIG.write_text(json.dumps(_kubelet_config()))
    subprocess.run(["mount", "--make-rshared", "/"], check=True)


def containerd() -> Daemon:
    """Describe the container runtime."""
    return Daemon(name="containerd", command=["containerd", "--config", _CONTAINERD_CONFIG])


def kubelet(programs: Path) -> Daemon:
    """Describe the node's agent; it says of its node what else the cloud controller would."""
    return Daemon(
        name="kubelet",
        command=[
            programs / "kubelet",
            f"--config={_KUBELET_CONFIG}",
            f"--kubeconfig={credentials.kubeconfig_of('kubelet')}",
            f"--root-dir={KUBELET}",
            f"--cert-dir={KUBELET}/pki",
            f"--hostname-override={NODE_NAME}",
            f"--provider-id=exoscale://{INSTANCE}",
            f"--node-labels=topology.kubernetes.io/zone={ZONE}",
        ],
    )


def import_images(tars: tuple[Path, ...]) -> None:
    """Hand images to a running containerd."""
    into_containerd = ("ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io")
    for tar in tars:
        command = [*into_containerd, "image", "import", str(tar)]
        subprocess.run(command, check=True, capture_output=True)


def tag_image(name: str, other: str) -> None:
    """Give an image that containerd has another name as well."""
    into_containerd = ("ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io")
    command = [*into_containerd, "image", "tag", name, other]
    subprocess.run(command, check=True, capture_output=True)


def _containerd_config() -> str:
    return f"""
version = 2
root = "{CONTAINERD}/root"
state = "{CONTAINERD}/state"

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true  # a negative one needs CAP_SYS_RESOURCE
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{CONTAINERD}/runc"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{_CNI_PLUGINS}"
  conf_dir = "{CNI}"
"""


def _pod_network() -> dict[str, object]:
    """Pods reach this machine and nothing else; no rule is left in a firewall."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": "10.213.0.0/16"}]],
        "dataDir": str(CNI / "addresses"),
        "routes": [{"dst": f"{SERVICE_ADDRESS}/32"}],
    }
    return {"cniVersion": "0.4.0", "name": STATE.name, "type": "ptp", "ipam": addresses}


def _kubelet_config() -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": KUBELET_PORT,
        "healthzPort": KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(credentials.CERTIFICATE)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "podLogsDir": str(POD_LOGS),
        "volumePluginDir": str(KUBELET / "flexvolume"),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%"},
        "featureGates": {VOLUME_HEALTH: True},
        "volumeStatsAggPeriod": "5s",  # how often it asks how each volume is
        # It reports which volumes are in use with its status, and a detach waits for that report.
        "nodeStatusUpdateFrequency": "1s",
    }
