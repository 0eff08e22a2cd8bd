"""An API that nobody should trust: the driver stays small and sends its key nowhere else."""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import Callable, Iterator

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller
from tests.exoscale.scripted_server import Answer, DripHeaders, ScriptedServer
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused
from tests.support.waiting import wait_until

KEY = {"EXOSCALE_API_KEY": "EXOhidden1", "EXOSCALE_API_SECRET": "hidden-secret"}
MIB = 1024**2

StartOn = Callable[..., DriverProcess]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[StartOn]:
    """Start controllers on an endpoint; all end with the test."""
    running: list[DriverProcess] = []

    def start(endpoint: str, *flags: str, ready: bool = False) -> DriverProcess:
        driver = DriverProcess.start(
            "controller", "--api-endpoint", endpoint, "--default-zone", "ch-gva-2", *flags,
            folder=tmp_path, environment=KEY, ready=ready, afresh=True,
        )  # fmt: skip
        running.append(driver)
        return driver

    yield start
    for driver in running:
        driver.stop()


def most_resident_bytes(driver: DriverProcess) -> int:
    """Return the most memory that the process ever had."""
    status = pathlib.Path(f"/proc/{driver.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def test_an_answer_that_unpacks_to_half_a_gigabyte_does_not_grow_the_driver(
    server: ScriptedServer, start: StartOn
) -> None:  # F18
    packed = Answer(body=gzip.compress(bytes(512 * 1024**2)), headers={"Content-Encoding": "gzip"})
    server.script += [packed] * 4
    driver = start(server.url + "/{zone}/v2")

    wait_until(lambda: driver.log.read_text().count("larger than 32 MiB") >= 2)

    assert most_resident_bytes(driver) < 200 * MIB


def test_headers_that_never_end_hold_nobody_for_longer_than_a_request(
    server: ScriptedServer, start: StartOn
) -> None:  # F18, S12
    server.script += [DripHeaders()] * 20
    driver = start(server.url + "/{zone}/v2", "--api-timeout", "300ms")
    wait_until(lambda: "serving" in driver.log.read_text())

    with refused(grpc.StatusCode.UNAVAILABLE, "timed out"):
        Controller(driver.channel).ListVolumes(csi_pb2.ListVolumesRequest(), timeout=60)


def test_a_zone_whose_name_is_a_path_gets_no_request(
    server: ScriptedServer, start: StartOn
) -> None:  # F18
    zones = [{"name": "evil/v2/block-storage#"}, {"name": "ch-gva-2"}]
    lists = {"block-storage-volumes": [], "block-storage-snapshots": [], "zones": zones}
    server.script += [Answer(body=json.dumps(lists).encode())] * 50
    driver = start(server.url + "/{zone}/v2", ready=True)

    Controller(driver.channel).ListVolumes(csi_pb2.ListVolumesRequest())

    assert server.received
    assert all(each.path.startswith("/ch-gva-2/v2/") for each in server.received)


def test_an_expired_signature_names_the_clock(server: ScriptedServer, start: StartOn) -> None:
    late = {"Date": "Wed, 21 Oct 2065 07:28:00 GMT"}
    server.script += [Answer(403, b'{"message": "Invalid request signature"}', late)] * 50
    driver = start(server.url + "/{zone}/v2")

    wait_until(lambda: "behind the API's" in driver.log.read_text())

    assert "set the clock" in driver.log.read_text()
    assert "hidden" not in driver.log.read_text()
