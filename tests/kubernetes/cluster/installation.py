"""A cluster with our storage installed: all that the flows need, started and stopped as one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.kubernetes.cluster.api import CAPACITY, CSI_DRIVER, LEASE
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.driver import (
    ATTACH_LIMIT,
    NODE_SOCKET,
    ControllerPod,
    controller_pod,
    node_plugin,
)
from tests.kubernetes.cluster.places import CSI, DRIVER_NAME, NODE_NAME, REQUESTS, STATE
from tests.kubernetes.cluster.programs import build_programs, snapshot_definitions
from tests.kubernetes.cluster.sidecars import NAMESPACE, snapshot_controller
from tests.support.waiting import wait_until

_SUPERVISION_SECONDS = 0.5
_BUSY_SECONDS = 5.0
_REGISTERED = "registered with kubelet"
_REFUSED = "kubelet refused the registration"
_MANIFESTS = Path(__file__).parents[3] / "deploy" / "kubernetes" / "csi-exoblock.yaml"
# What tells Kubernetes of the driver; its pods are processes here.
_KINDS = ("CSIDriver", "StorageClass", "VolumeSnapshotClass")


class Installation:
    """The cluster, the cloud, and the driver between them.

    It only describes processes until it is started, so that a second one made elsewhere sees and
    steers the same processes.
    """

    def __init__(self) -> None:
        programs = build_programs()
        self.cluster = Cluster(programs)
        self.cloud = Cloud()
        self.controller_pod = controller_pod(programs, "controller-0")
        self.standby = controller_pod(programs, "controller-1")
        self.node = node_plugin()
        self._snapshot_controller = snapshot_controller(programs)
        if self.standby.runs and not self.controller_pod.runs:
            self._swap()

    def start(self) -> None:
        """Start everything and return when claims can be made.

        Raises:
            AssertionError: Something did not come up; the message names it.
        """
        self.cluster.start()
        CSI.mkdir()
        REQUESTS.mkdir()
        NODE_SOCKET.parent.mkdir(parents=True)  # a pod's hostPath is made by kubelet
        with ThreadPoolExecutor() as threads:
            installed = threads.submit(self._install_objects)
            self.cloud.start()
            self.cloud.set_quota("block-storage-volume-attachments", ATTACH_LIMIT)
            self.controller_pod.start()
            self.node.start()
            installed.result()
        self._snapshot_controller.start()
        self.wait_registered()
        wait_until(self._all_lead, "every sidecar is a leader")

    def stop(self) -> None:
        """Stop everything and leave nothing of it on the machine."""
        self.cloud.close()
        self.cluster.stop()

    @contextmanager
    def supervised(self) -> Iterator[None]:
        """Start again, during the block, what ends by itself in the pods of the controller."""
        ending = threading.Event()

        def supervise() -> None:
            while not ending.wait(_SUPERVISION_SECONDS):
                for pod in (self.controller_pod, self.standby):
                    pod.revive()

        supervisor = threading.Thread(target=supervise)
        supervisor.start()
        try:
            yield
        finally:
            ending.set()
            supervisor.join()

    def swap_replicas(self) -> None:
        """Kill the replica of the controller that leads; the standby, which runs, takes over."""
        self.controller_pod.kill()
        self._swap()

    @contextmanager
    def capacity_known(self) -> Iterator[None]:
        """Let the scheduler know, during the block, how much the quota leaves."""
        usual = self.controller_pod
        self._replace_controller(usual.with_capacity())
        self._use_capacity(True)
        try:
            yield
        finally:
            self._use_capacity(False)
            self._replace_controller(usual)
            for known in self.cluster.api.list(CAPACITY, NAMESPACE):
                self.cluster.api.delete(CAPACITY, known.text("metadata", "name"), NAMESPACE)

    def wait_registered(self) -> None:
        """Return when the node lists the driver."""
        wait_until(lambda: self.cluster.attach_limit, f"CSINode {NODE_NAME} lists the driver")

    @contextmanager
    def registering(self) -> Iterator[None]:
        """Leave the block only when kubelet has registered the driver once more.

        CSINode alone would not tell: it keeps what it lists while kubelet or driver are away.
        """
        before = self._registrations()
        yield
        wait_until(lambda: self._registrations() > before, "kubelet registers the driver again")
        self.wait_registered()

    def refusals(self) -> int:
        """Return how often kubelet has refused to register the driver."""
        return self.node.log.read_text().count(_REFUSED)

    def _registrations(self) -> int:
        return self.node.log.read_text().count(_REGISTERED)

    def _swap(self) -> None:
        self.controller_pod, self.standby = self.standby, self.controller_pod

    def _replace_controller(self, other: ControllerPod) -> None:
        """End the controller, and start it as another description says."""
        self.controller_pod.stop()
        self.controller_pod = other
        other.start()

    def _use_capacity(self, use: bool) -> None:
        self.cluster.api.patch(CSI_DRIVER, DRIVER_NAME, {"spec": {"storageCapacity": use}})

    def _install_objects(self) -> None:
        install_snapshot_definitions(self.cluster)
        rendered = yaml.safe_load_all(_MANIFESTS.read_text())
        objects = [each for each in rendered if each["kind"] in _KINDS]
        listed = STATE / "objects.json"
        listed.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        self.cluster.kubectl("apply", f"--filename={listed}")

    def _all_lead(self) -> bool:
        leases = self.cluster.api.list(LEASE, NAMESPACE)
        held = [lease for lease in leases if lease.text("spec", "holderIdentity")]
        return len(held) >= len(self.controller_pod.sidecars)


def install_snapshot_definitions(cluster: Cluster) -> None:
    """Make the snapshot CRDs known, which clusters bring themselves."""
    for definition in sorted(snapshot_definitions().glob("*snapshot.storage.k8s.io_*.yaml")):
        _apply(cluster, definition)
    cluster.kubectl("wait", "crd", "--all", "--for=condition=Established")


def _apply(cluster: Cluster, definition: Path) -> None:
    """Apply a definition, once more if that fails: a young API server can be busy for a moment."""
    apply = ("apply", "--server-side", f"--filename={definition}")
    try:
        cluster.kubectl(*apply)
    except subprocess.CalledProcessError as error:
        print(f"tried once more: {error.stderr}", file=sys.stderr)
        time.sleep(_BUSY_SECONDS)
        cluster.kubectl(*apply)
