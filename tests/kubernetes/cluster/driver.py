"""The driver and its sidecars, as processes arranged like the pods that the chart makes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.kubernetes.cluster.cloud import API_ENDPOINT, CREDENTIALS
from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.places import (
    CSI,
    DEVICES,
    DRIVER_NAME,
    INSTANCE,
    KUBELET,
    REQUESTS,
    ZONE,
)
from tests.kubernetes.cluster.sidecars import PROVISIONER, sidecars, with_capacity

CLUSTER_ID: Final = "kubernetes-test"
NODE_SOCKET: Final = KUBELET / "plugins" / DRIVER_NAME / "csi.sock"
REGISTRATION: Final = KUBELET / "plugins_registry" / f"{DRIVER_NAME}-reg.sock"
ATTACH_LIMIT: Final = 40
"""Volumes that the node may have at once; the platform's 5 would make the flows wait in turn."""


@dataclass(frozen=True, slots=True)
class ControllerPod:
    """One replica of the controller: the driver, and the sidecars that call it."""

    controller: Daemon
    sidecars: dict[str, Daemon]

    def start(self) -> None:
        """Start every process at once."""
        for daemon in (self.controller, *self.sidecars.values()):
            daemon.start()

    def revive(self) -> None:
        """Start what ended by itself.

        Sidecars do so at their first call to a driver that has gone.
        """
        for daemon in (self.controller, *self.sidecars.values()):
            daemon.revive()

    def with_capacity(self) -> ControllerPod:
        """Describe it as it would be if the scheduler were to know what the quota leaves (N4)."""
        return replace(
            self,
            controller=self.controller.with_arguments("--capacity-from-quota"),
            sidecars={**self.sidecars, PROVISIONER: with_capacity(self.sidecars[PROVISIONER])},
        )

    @property
    def runs(self) -> bool:
        """Whether its driver does."""
        return self.controller.pid is not None

    def stop(self) -> None:
        """Ask every process to end, the sidecars first, and wait until they have."""
        for daemon in (*self.sidecars.values(), self.controller):
            daemon.stop()

    def kill(self) -> None:
        """End every process as the loss of its node would."""
        for daemon in (*self.sidecars.values(), self.controller):
            daemon.kill()


def controller_pod(programs: Path, name: str) -> ControllerPod:
    """Describe a replica of the controller.

    Args:
        name: What its pod would be called.
    """
    socket = CSI / f"{name}.sock"
    controller = Daemon(
        name=f"driver-{name}",
        command=[
            *_program(name),
            "controller",
            f"--endpoint=unix://{socket}",
            f"--driver-name={DRIVER_NAME}",
            f"--api-endpoint={API_ENDPOINT}",
            f"--cluster-id={CLUSTER_ID}",
            "--log-format=text",
        ],
        environment=CREDENTIALS,
    )
    return ControllerPod(controller, sidecars(programs, socket, name))


def node_plugin(attach_limit: int = ATTACH_LIMIT) -> Daemon:
    """Describe the driver on the real node."""
    return Daemon(
        name="driver-node",
        command=[
            *_program("node"),
            "node",
            f"--endpoint=unix://{NODE_SOCKET}",
            f"--driver-name={DRIVER_NAME}",
            f"--instance-id={INSTANCE}",
            f"--zone={ZONE}",
            f"--kubelet-path={KUBELET}",
            f"--registration-path={REGISTRATION}",
            f"--device-dir={DEVICES}",
            f"--volume-attach-limit={attach_limit}",
            "--log-format=text",
        ],
    )


def _program(name: str) -> tuple[str, ...]:
    """Return the command that starts the driver and records the requests that it receives."""
    return (sys.executable, "-m", "tests.kubernetes.recording", str(REQUESTS / f"{name}.jsonl"))
