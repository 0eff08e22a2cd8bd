"""A Kubernetes cluster of one real node on this machine: start it, look at it, stop it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.cluster import cleaning, control_plane, credentials, images
from tests.kubernetes.cluster.api import CSI_NODE, NODE, SERVICE_ACCOUNT, Api
from tests.kubernetes.cluster.machine import FIRST
from tests.kubernetes.cluster.places import (
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
        self.kubelet = FIRST.kubelet(programs)
        self._containerd = FIRST.containerd()
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
        FIRST.prepare()
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
        self.wait_node_ready(NODE_NAME)
        _wait(self._pods_may_start, "there is a default service account")

    def wait_node_ready(self, name: str) -> None:
        """Return when a node takes pods."""
        _wait(lambda: self.is_node_ready(name), f"node {name} is ready")

    def is_node_ready(self, name: str) -> bool:
        """Return whether a node takes pods, as far as Kubernetes knows."""
        node = self.api.find(NODE, name)
        conditions = node.documents("status", "conditions") if node else ()
        return any(
            condition.text("type") == "Ready" and condition.text("status") == "True"
            for condition in conditions
        )

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Have no API server during the block: it dies, and is there again at the end."""
        api_server = self._control_plane[1]
        api_server.kill()
        try:
            yield
        finally:
            api_server.start()
            _wait(self.api.is_ready, "the API server is ready again")

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
        """How many volumes the scheduler believes the node can have; 0 while there is no driver.

        Of any name: it is the only driver.
        """
        return self.attach_limit_of(NODE_NAME)

    def attach_limit_of(self, node: str) -> int:
        """Return the same of any node."""
        found = self.api.find(CSI_NODE, node)
        return sum(
            driver.number("allocatable", "count")
            for driver in (found.documents("spec", "drivers") if found else ())
        )

    def _import_images(self) -> None:
        tars = images.write_images(STATE / "images")
        _wait(FIRST.socket.exists, "containerd listens")
        FIRST.import_images(tars)

    def _pods_may_start(self) -> bool:
        return self.api.find(SERVICE_ACCOUNT, "default", "default") is not None


def _wait(question: Callable[[], bool], promise: str) -> None:
    wait_until(question, promise, seconds=_START_SECONDS, explain=lambda: f"logs are in {LOGS}")
