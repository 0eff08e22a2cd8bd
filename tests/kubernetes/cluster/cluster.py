"""A Kubernetes cluster of one real node on this machine: start it, look at it, stop it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kubernetes.cluster import cleaning, control_plane, credentials, images, machine
from tests.kubernetes.cluster.api import CSI_NODE, NODE, SERVICE_ACCOUNT, Api
from tests.kubernetes.cluster.places import (
    CONTAINERD_SOCKET,
    DRIVER_NAME,
    KUBECONFIG,
    LOGS,
    NODE_NAME,
    STATE,
)
from tests.support.waiting import wait_until

_START_SECONDS = 120


class Cluster:
    """Kubernetes alone: no storage driver yet."""

    def __init__(self, programs: Path) -> None:
        self.api = Api()
        self.kubelet = machine.kubelet(programs)
        self._containerd = machine.containerd()
        self._control_plane = control_plane.control_plane(programs)
        self._kubectl = programs / "kubectl"

    def start(self) -> None:
        """Start everything at once and return when the node takes pods, after some 10 seconds.

        Raises:
            AssertionError: A program did not come up; the message says which.
        """
        cleaning.clean()
        STATE.mkdir(parents=True)
        credentials.make_credentials()
        machine.prepare_machine()
        control_plane.write_audit_policy()
        etcd, api_server, *others = self._control_plane
        for daemon in (self._containerd, etcd, api_server):
            daemon.start()
        with ThreadPoolExecutor() as threads:
            imported = threads.submit(self._import_images)
            _wait(self.api.is_ready, "the API server is ready")
            for daemon in others:  # they end if the API server is not there within seconds
                daemon.start()
            self.kubelet.start()
            imported.result()
        _wait(self._node_is_ready, f"node {NODE_NAME} is ready")
        _wait(self._pods_may_start, "there is a default service account")

    def stop(self) -> None:
        """Stop everything and leave nothing of it on the machine."""
        self.api.close()
        cleaning.clean()

    def kubectl(self, *arguments: str | Path) -> str:
        """Run kubectl as the administrator and return what it printed.

        Raises:
            subprocess.CalledProcessError: It refused; its words are in the error's `stderr`, and in
                its trace.
        """
        command: Sequence[str | Path] = (self._kubectl, f"--kubeconfig={KUBECONFIG}", *arguments)
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise

    @property
    def attach_limit(self) -> int:
        """How many volumes the scheduler believes the node can have; 0 while there is no driver."""
        node = self.api.get(CSI_NODE, NODE_NAME)
        return sum(
            driver.number("allocatable", "count")
            for driver in node.documents("spec", "drivers")
            if driver.text("name") == DRIVER_NAME
        )

    def _import_images(self) -> None:
        tars = images.write_images(STATE / "images")
        _wait(CONTAINERD_SOCKET.exists, "containerd listens")
        machine.import_images(tars)

    def _node_is_ready(self) -> bool:
        node = self.api.find(NODE, NODE_NAME)
        conditions = node.documents("status", "conditions") if node else ()
        return any(
            condition.text("type") == "Ready" and condition.text("status") == "True"
            for condition in conditions
        )

    def _pods_may_start(self) -> bool:
        return self.api.find(SERVICE_ACCOUNT, "default", "default") is not None


def _wait(question: Callable[[], bool], promise: str) -> None:
    wait_until(question, promise, seconds=_START_SECONDS, explain=lambda: f"logs are in {LOGS}")
