"""A simulated cloud without devices, and a client of each of its zones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.client import ZoneClient
from tests.support.simulator_process import SimulatorProcess


@pytest.fixture(scope="module")
def running_cloud() -> Iterator[SimulatorProcess]:
    """A cloud in which operations take no time."""
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: SimulatorProcess) -> SimulatorProcess:
    """The same, emptied for each test."""
    running_cloud.clear()
    return running_cloud


@pytest.fixture
def zone(cloud: SimulatorProcess) -> Iterator[ZoneClient]:
    """The cloud's first zone."""
    client = ZoneClient(cloud, cloud.zones[0])
    yield client
    client.close()


@pytest.fixture
def other_zone(cloud: SimulatorProcess) -> Iterator[ZoneClient]:
    """The cloud's second zone."""
    client = ZoneClient(cloud, cloud.zones[1])
    yield client
    client.close()


@pytest.fixture
def instance(cloud: SimulatorProcess, zone: ZoneClient) -> str:
    """A running instance of the first zone."""
    return cloud.add_instance(zone.zone)
