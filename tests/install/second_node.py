"""A second real node beside the first: a kubelet and a containerd of its own on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from tests.install.installation import HelmInstallation
from tests.kubernetes.cluster.api import CSI_NODE, NODE
from tests.kubernetes.cluster.cleaning import kill_containers, unmount_below
from tests.kubernetes.cluster.machine import SECOND_MACHINE, Machine
from tests.kubernetes.cluster.places import NODE_NAME, STATE
from tests.support.waiting import wait_until

_HOST = "kubernetes.io/hostname"
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"


class SecondNode:
    """The node, and the driver's plugin on it: a DaemonSet with another folder of kubelet's."""

    def __init__(self, installation: HelmInstallation, machine: Machine = SECOND_MACHINE) -> None:
        self.name = machine.name
        self._installation = installation
        self._cluster = installation.cluster
        self._machine = machine
        self._containerd = machine.containerd()
        self._kubelet = machine.kubelet(installation.programs)

    @classmethod
    @contextmanager
    def running(
        cls, installation: HelmInstallation, machine: Machine = SECOND_MACHINE
    ) -> Iterator[SecondNode]:
        """Have it in the cluster during the block, with the driver on it."""
        node = cls(installation, machine)
        node.start()
        try:
            yield node
        finally:
            node.stop()

    @property
    def attach_limit(self) -> int:
        """How many volumes the scheduler believes it can have; 0 while there is no driver."""
        return self._cluster.attach_limit_of(self.name)

    def start(self) -> None:
        """Start it and the driver on it."""
        self._machine.prepare()
        self._start_containerd()
        self._installation.import_images(self._machine)
        self._kubelet.start()
        self._cluster.wait_node_ready(self.name)
        self.upgrade()

    def upgrade(self, *options: str) -> None:
        """Change the installation, with the driver on both nodes."""
        own = {
            "kubeletPath": str(self._machine.kubelet_folder),
            "nodeSelector": {_HOST: self.name},
        }
        changes = {"nodeSelector": {_HOST: NODE_NAME}, "additionalDaemonSets": {"second": own}}
        values = STATE / "two-nodes.yaml"
        values.write_text(yaml.safe_dump({"node": changes}))
        self._installation.upgrade(f"--values={values}", *options)
        self._installation.system.wait(lambda: self.attach_limit, "CSINode lists the driver")

    def lose_power(self) -> None:
        """End all that runs on it without a word, and all its mounts."""
        self._kubelet.kill()
        self._containerd.kill()
        kill_containers(self._machine)
        unmount_below(self._machine.folder)
        self._machine.socket.unlink(missing_ok=True)

    def come_back(self) -> None:
        """Start it again after a loss of power."""
        self._start_containerd()
        self._kubelet.start()
        self._cluster.wait_node_ready(self.name)
        self._installation.system.wait(lambda: self.attach_limit, "CSINode lists the driver")

    def take_out_of_service(self) -> None:
        """Say that it is off, as an administrator would who has looked."""
        self._cluster.kubectl("taint", "nodes", self.name, _OUT_OF_SERVICE)

    def return_to_service(self) -> None:
        """Take that back."""
        self._cluster.kubectl("taint", "nodes", self.name, f"{_OUT_OF_SERVICE}-")

    def stop(self) -> None:
        """End it, and leave nothing of it in the cluster but its DaemonSet, for the next one."""
        self.lose_power()
        for kind in (CSI_NODE, NODE):
            if self._cluster.api.find(kind, self.name):
                self._cluster.api.delete(kind, self.name)
        shutil.rmtree(self._machine.folder)

    def _start_containerd(self) -> None:
        self._containerd.start()
        wait_until(self._machine.socket.exists, "the second containerd listens")
