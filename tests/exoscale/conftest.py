"""What reaches a cloud over HTTP: a server that follows a script, and the simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.config import ApiSettings
from csi_exoblock.credentials import Credentials
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.exoscale.keyring import Keyring
from csi_exoblock.exoscale.pace import Paces
from csi_exoblock.exoscale.session import Proxy, open_session
from csi_exoblock.exoscale.transport import Transport
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import ZoneName
from csi_exoblock.timing import Timing
from tests.exoscale.scripted_server import ScriptedServer
from tests.support.simulator_process import API_KEY, API_SECRET, SimulatorProcess

# Pauses are short, patience is long: no test waits, and none fails on a busy machine.
QUICK = replace(
    Timing(),
    api_timeout=60.0,
    api_retry_initial=0.001,
    api_retry_max=0.01,
    credentials_wait=0.01,
    poll_initial=0.001,
    poll_max=0.02,
    zones_apart=0.0,
)
USER_AGENT = "csi-exoblock/tests"
CREDENTIALS = Credentials(key=API_KEY, secret=API_SECRET)

MakeTransport = Callable[..., Transport]
MakeCloud = Callable[..., Cloud]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads to call in, all of which have ended when the test has."""
    with ThreadPoolExecutor(max_workers=32) as executor:
        yield executor


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def make_transport(metrics: Metrics) -> Iterator[MakeTransport]:
    """Make a transport, with the simulator's key and no proxy unless others are given."""
    made: list[Transport] = []

    def make(
        *,
        timing: Timing = QUICK,
        keyring: Keyring | None = None,
        proxy: Proxy | None = None,
        paces: Paces | None = None,
        ca_file: Path | None = None,
    ) -> Transport:
        transport = Transport(
            session=open_session(user_agent=USER_AGENT, ca_file=ca_file),
            keyring=keyring or Keyring(CREDENTIALS, None, timing=timing),
            proxy=proxy or Proxy(None, ""),
            paces=paces or Paces(timing=timing, most_per_second=math.inf),
            timing=timing,
            metrics=metrics,
        )
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start("--latency", "0.05s", "--local-instance", "none") as running:
        yield running


@pytest.fixture
def simulator(shared_simulator: SimulatorProcess) -> SimulatorProcess:
    """A cloud over HTTP, as it was at its start."""
    shared_simulator.clear()
    return shared_simulator


@pytest.fixture
def make_cloud(make_transport: MakeTransport) -> MakeCloud:
    """Make a client of the cloud at an endpoint."""

    def make(
        endpoint: str,
        *,
        zones: tuple[str, ...] = (),
        default_zone: str | None = None,
        timing: Timing = QUICK,
        paces: Paces | None = None,
    ) -> Cloud:
        settings = ApiSettings(
            endpoint=endpoint,
            credentials=CREDENTIALS,
            zones=tuple(ZoneName(zone) for zone in zones),
            default_zone=ZoneName(default_zone) if default_zone else None,
            user_agent=USER_AGENT,
        )
        transport = make_transport(timing=timing, paces=paces)
        return Cloud(transport=transport, settings=settings, timing=timing)

    return make


@pytest.fixture
def cloud(simulator: SimulatorProcess, make_cloud: MakeCloud) -> Cloud:
    """The driver's client of the simulator."""
    return make_cloud(simulator.api_endpoint)
