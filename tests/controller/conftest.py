"""A controller process on a simulated cloud without devices, one of each for every test file."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from csi_exoblock.pb import csi_pb2_grpc
from csi_exoblock.timing import Timing
from tests.controller.administrator import Administrator
from tests.controller.gate import Gate
from tests.controller.requests import create_volume
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

# The driver lives ten times as fast as in a cluster: names settle in 0.5 s, doubts end after 1 s.
TIME_SCALE = "0.1"
OPERATION_LATENCY_SECONDS = 0.05
# For an answer of the API, and for a call: a minute of its own time. The driver's defaults would be
# over after 3 to 12 s here, and a busy machine is neither a broken network nor a broken cloud.
PATIENCE = tuple(
    word
    for each in ("api", "create", "attach", "detach")
    for word in (f"--{each}-timeout", f"{60 / float(TIME_SCALE):.0f}s")
)

_YOUNG_SECONDS = float(TIME_SCALE) * Timing().startup_unsettled

Controller = csi_pb2_grpc.ControllerStub
StartController = Callable[..., DriverProcess]


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start(
        "--latency", f"{OPERATION_LATENCY_SECONDS}s", "--local-instance", "none"
    ) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def start_controller(
    shared_cloud: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartController]:
    """Start further controllers on the same cloud; all end with the file."""
    running: list[DriverProcess] = []

    def start(*flags: str, ready: bool = True, **environment: str) -> DriverProcess:
        driver = DriverProcess.start(
            "controller",
            "--api-endpoint", shared_cloud.api_endpoint,
            "--default-zone", shared_cloud.zones[0],
            "--time-scale", TIME_SCALE,
            *PATIENCE,
            *flags,
            folder=tmp_path_factory.mktemp("controller"),
            environment={**shared_cloud.environment, **environment},
            ready=ready,
        )  # fmt: skip
        running.append(driver)
        return driver

    yield start
    for driver in running:
        driver.stop()


@pytest.fixture(scope="module")
def gate(shared_cloud: SimulatorProcess) -> Iterator[Gate]:
    """A way to the cloud that can be closed."""
    with Gate(shared_cloud) as running:
        yield running


@pytest.fixture(scope="module")
def behind(gate: Gate, start_controller: StartController) -> Controller:
    """A controller behind the gate."""
    return Controller(start_controller("--api-endpoint", gate.api_endpoint).channel)


@pytest.fixture(scope="module")
def driver(start_controller: StartController) -> DriverProcess:
    """A controller old enough not to doubt names that it has not seen (C1)."""
    started = start_controller()
    threading.Event().wait(_YOUNG_SECONDS)
    Controller(started.channel).CreateVolume(create_volume("first"))
    return started


@pytest.fixture
def controller(driver: DriverProcess) -> Controller:
    return Controller(driver.channel)


@pytest.fixture
def cloud(shared_cloud: SimulatorProcess, driver: DriverProcess) -> Iterator[SimulatorProcess]:
    """The cloud, with no fault in force and no call recorded yet."""
    modes, quotas = shared_cloud.modes(), shared_cloud.quotas()
    shared_cloud.clear_calls()
    yield shared_cloud
    shared_cloud.clear_faults()
    for resource, limit in quotas.items() - shared_cloud.quotas().items():
        shared_cloud.set_quota(resource, limit)
    shared_cloud.set_latency("all", OPERATION_LATENCY_SECONDS)
    for question, answer in modes.items():
        shared_cloud.set_mode(question, answer)


@pytest.fixture
def administrator(shared_cloud: SimulatorProcess) -> Administrator:
    """Somebody who works with the vendor's own tools beside the driver."""
    return Administrator(shared_cloud)


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"pvc-{next(_NUMBERS)}a"  # followed by a number it is no other test's


@pytest.fixture
def volume(controller: Controller, name: str) -> str:
    """The id of a new volume of 1 GiB."""
    return controller.CreateVolume(create_volume(f"{name}-volume")).volume.volume_id


@pytest.fixture
def node(shared_cloud: SimulatorProcess) -> str:
    """The id of a new node in the default zone."""
    zone = shared_cloud.zones[0]
    return f"{zone}/{shared_cloud.add_instance(zone)}"


def truth(cloud: SimulatorProcess, volume_id: str) -> dict[str, Any]:
    """Return a volume as the cloud really holds it."""
    (volume,) = (each for each in cloud.volumes() if each["id"] == volume_id.split("/")[1])
    return volume


def ids(cloud: SimulatorProcess) -> list[str]:
    """Return the ids of the volumes that the cloud really holds."""
    return [f"{volume['zone']}/{volume['id']}" for volume in cloud.volumes()]


_NUMBERS = itertools.count(1)
