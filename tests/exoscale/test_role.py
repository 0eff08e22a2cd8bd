"""The key needs no more than the role says, and says what it lacks (F14, F11)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from csi_exoblock.exoscale.routes import OPERATIONS, role_policy
from csi_exoblock.pb import csi_pb2_grpc
from tests.controller.requests import create_volume
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused
from tests.support.simulator_process import (
    API_SECRET,
    DRIVER_KEY,
    SimulatorProcess,
    permitted_operations,
)


@pytest.fixture
def cloud() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as cloud:
        yield cloud


def test_the_role_is_what_the_code_calls_and_denies_all_else() -> None:
    assert permitted_operations() == [*OPERATIONS]
    assert len(OPERATIONS) == 19
    assert json.loads(json.dumps(role_policy()))["default-service-strategy"] == "deny"


def test_what_the_role_lacks_is_named(cloud: SimulatorProcess, tmp_path: Path) -> None:
    lacking = [each for each in permitted_operations() if each != "create-block-storage-volume"]
    cloud.put_key(DRIVER_KEY, API_SECRET, lacking)
    driver = DriverProcess.start(
        "controller",
        "--api-endpoint", cloud.api_endpoint,
        "--default-zone", cloud.zones[0],
        "--time-scale", "0.1",
        "--api-timeout", "600s",  # a minute, as the next: a busy machine is no broken network
        "--create-timeout", "600s",
        folder=tmp_path,
        environment=cloud.environment,
    )  # fmt: skip
    controller = csi_pb2_grpc.ControllerStub(driver.channel)

    with refused(grpc.StatusCode.PERMISSION_DENIED, "create-block-storage-volume"):
        controller.CreateVolume(create_volume("volume"))
    driver.stop()
    assert cloud.volumes() == []
