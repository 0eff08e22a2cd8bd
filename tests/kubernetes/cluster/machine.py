"""The real nodes: for each a containerd, a network for its pods, and a kubelet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.kubernetes.cluster import credentials, images
from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.minors import chosen
from tests.kubernetes.cluster.places import (
    FAR_INSTANCE,
    INSTANCE,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    NODE_NAME,
    OTHER_ZONE,
    SECOND,
    SECOND_INSTANCE,
    SECOND_NAME,
    SERVICE_ADDRESS,
    STATE,
    ZONE,
)

_CNI_PLUGINS = Path("/usr/lib/cni")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node of the cluster, on this machine.

    Attributes:
        name: The node's. The API server must be able to resolve it.
        suffix: Of the names of its processes.
        zone: The zone that it is in.
        instance: The cloud's instance that it is.
        folder: Where all its things lie.
        address: Where its kubelet listens.
        pods: The network of its pods.
    """

    name: str
    suffix: str
    zone: str
    instance: str
    folder: Path
    address: str
    pods: str

    @property
    def kubelet_folder(self) -> Path:
        """Where its kubelet has plugins and the volumes of pods."""
        return self.folder / "kubelet"

    @property
    def socket(self) -> Path:
        """The socket of its containerd."""
        return self._containerd / "containerd.sock"

    @property
    def _containerd(self) -> Path:
        return self.folder / "containerd"

    @property
    def _containerd_config(self) -> Path:
        return self._containerd / "config.toml"

    @property
    def _kubelet_config(self) -> Path:
        return self.folder / "kubelet.json"

    @property
    def _networks(self) -> Path:
        return self.folder / "cni"

    def prepare(self) -> None:
        """Write its settings, and let mounts of the kubelet's folder be seen everywhere."""
        for folder in (self._containerd, self._networks, self.kubelet_folder):
            folder.mkdir(parents=True)
        self._containerd_config.write_text(self._settings_of_containerd())
        (self._networks / "pods.conf").write_text(json.dumps(self._settings_of_network()))
        self._kubelet_config.write_text(json.dumps(self._settings_of_kubelet()))
        subprocess.run(["mount", "--make-rshared", "/"], check=True)

    def containerd(self) -> Daemon:
        """Describe its container runtime."""
        return Daemon(
            name=f"containerd{self.suffix}",
            command=["containerd", "--config", self._containerd_config],
        )

    def kubelet(self, programs: Path) -> Daemon:
        """Describe its agent; it says of its node what else the cloud controller would."""
        return Daemon(
            name=f"kubelet{self.suffix}",
            command=[
                programs / "kubelet",
                f"--config={self._kubelet_config}",
                f"--kubeconfig={credentials.kubeconfig_of(f'kubelet{self.suffix}')}",
                f"--root-dir={self.kubelet_folder}",
                f"--cert-dir={self.kubelet_folder}/pki",
                f"--hostname-override={self.name}",
                f"--provider-id=exoscale://{self.instance}",
                f"--node-labels=topology.kubernetes.io/zone={self.zone}",
            ],
        )

    def import_images(self, tars: Iterable[Path]) -> None:
        """Hand images to its running containerd."""
        for tar in tars:
            self._image("import", str(tar))

    def tag_image(self, name: str, other: str) -> None:
        """Give an image that its containerd has another name as well."""
        self._image("tag", name, other)

    def _image(self, *arguments: str) -> None:
        command = ("ctr", f"--address={self.socket}", "--namespace=k8s.io", "image", *arguments)
        subprocess.run(command, check=True, capture_output=True)

    def _settings_of_containerd(self) -> str:
        return f"""
version = 2
root = "{self._containerd}/root"
state = "{self._containerd}/state"

[grpc]
  address = "{self.socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true  # a negative one needs CAP_SYS_RESOURCE
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{self._containerd}/runc"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{_CNI_PLUGINS}"
  conf_dir = "{self._networks}"
"""

    def _settings_of_network(self) -> dict[str, object]:
        """Pods reach this machine and nothing else; no rule is left in a firewall."""
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": self.pods}]],
            "dataDir": str(self._networks / "addresses"),
            "routes": [{"dst": f"{SERVICE_ADDRESS}/32"}],
        }
        return {"cniVersion": "0.4.0", "name": STATE.name, "type": "ptp", "ipam": addresses}

    def _settings_of_kubelet(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "port": KUBELET_PORT,
            "healthzBindAddress": self.address,
            "healthzPort": KUBELET_HEALTH_PORT,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(credentials.CERTIFICATE)},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "podLogsDir": str(self.folder / "pod-logs"),
            "volumePluginDir": str(self.kubelet_folder / "flexvolume"),
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%"},
            "featureGates": dict(chosen().feature_gates),
            "volumeStatsAggPeriod": "5s",  # how often it asks how each volume is
            # It reports with its status which volumes are in use; a detach waits for that report.
            "nodeStatusUpdateFrequency": "1s",
        }


FIRST: Final = Machine(
    name=NODE_NAME,
    suffix="",
    zone=ZONE,
    instance=INSTANCE,
    folder=STATE,
    address="127.0.0.1",
    pods="10.213.0.0/16",
)
"""The node that every flow has."""

SECOND_MACHINE: Final = Machine(
    name=SECOND_NAME,
    suffix="-second",
    zone=ZONE,
    instance=SECOND_INSTANCE,
    folder=SECOND,
    address=SECOND_NAME,
    pods="10.214.0.0/16",
)
"""The node to which pods move."""

FAR_MACHINE: Final = replace(SECOND_MACHINE, zone=OTHER_ZONE, instance=FAR_INSTANCE)
"""The second node where it is in another zone. It is at the same place: only one of both runs."""
