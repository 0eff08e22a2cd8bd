"""One driver with both services on a cloud without devices: nothing here gets as far as a disk."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"

LIMIT_SECONDS = 90.0

Start = Callable[..., DriverProcess]

SERVICES = {
    name: csi_pb2.DESCRIPTOR.services_by_name[name] for name in ("Identity", "Controller", "Node")
}


@dataclass(frozen=True)
class Driver:
    """A running driver.

    Attributes:
        folder: Where requests may put volumes.
    """

    process: DriverProcess
    cloud: SimulatorProcess
    folder: pathlib.Path

    @property
    def channel(self) -> grpc.Channel:
        """A connection to its CSI socket."""
        return self.process.channel

    def log(self) -> str:
        """Return all that it has said."""
        return self.process.log.read_text()


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def driver(
    shared_cloud: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("csi")
    with DriverProcess.start(
        "all",
        "--api-endpoint", shared_cloud.api_endpoint,
        "--default-zone", shared_cloud.zones[0],
        "--instance-id", INSTANCE,
        "--zone", shared_cloud.zones[0],
        "--kubelet-path", str(folder),
        "--device-dir", str(folder),
        "--time-scale", "0.05",
        "--log-level", "debug",
        "--http-endpoint", "127.0.0.1:0",
        folder=folder,
        environment=shared_cloud.environment,
    ) as process:  # fmt: skip
        yield Driver(process, shared_cloud, folder)


@pytest.fixture
def start(shared_cloud: SimulatorProcess, tmp_path: pathlib.Path) -> Iterator[Start]:
    """Start drivers that end with the test."""
    with ExitStack() as running:

        def start(
            command: str,
            *flags: str,
            folder: pathlib.Path | None = None,
            ready: bool = True,
            wrapper: tuple[str, ...] = (),
            **environment: str,
        ) -> DriverProcess:
            folder = folder or tmp_path / str(len(os.listdir(tmp_path)))
            folder.mkdir(exist_ok=True)
            return running.enter_context(
                DriverProcess.start(
                    command,
                    *flags,
                    folder=folder,
                    ready=ready,
                    wrapper=wrapper,
                    environment={
                        **shared_cloud.environment,
                        "CSI_EXOBLOCK_API_ENDPOINT": shared_cloud.api_endpoint,
                        "CSI_EXOBLOCK_DEFAULT_ZONE": shared_cloud.zones[0],
                        "CSI_EXOBLOCK_TIME_SCALE": "0.1",
                        **environment,
                    },
                )
            )

        yield start


def stub_of(service: str, channel: grpc.Channel) -> object:
    """Return the stub of a service by its name."""
    return getattr(csi_pb2_grpc, f"{service}Stub")(channel)
