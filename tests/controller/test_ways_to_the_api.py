"""F2: a proxy, an authority of one's own, an endpoint of one's own."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller, StartController
from tests.controller.requests import create_volume
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until
from tests.tls.tunnels import AUTHORITY, ConnectProxy, TlsServer

PASSWORD = "hunter2"


@pytest.fixture
def front(shared_cloud: SimulatorProcess) -> Iterator[TlsServer]:
    """The cloud, over TLS."""
    with TlsServer(urlsplit(shared_cloud.base_url).port or 0) as server:
        yield server


@pytest.fixture
def proxy(front: TlsServer) -> Iterator[ConnectProxy]:
    with ConnectProxy(front.port) as server:
        yield server


def test_the_api_is_reached_through_the_proxy_alone(
    start_controller: StartController,
    shared_cloud: SimulatorProcess,
    proxy: ConnectProxy,
) -> None:
    driver = start_controller(
        "--api-endpoint", "https://api-{zone}.cloud.test/{zone}/v2",  # only the proxy knows it
        "--ca-file", str(AUTHORITY),
        "--log-level", "debug",
        HTTPS_PROXY=f"http://driver:{PASSWORD}@127.0.0.1:{proxy.port}",
        NO_PROXY="localhost,.svc,10.0.0.0/8",
    )  # fmt: skip

    Controller(driver.channel).CreateVolume(create_volume("proxied"))

    assert {f"api-{zone}.cloud.test:443" for zone in shared_cloud.zones} == set(proxy.asked)
    assert set(proxy.authorizations) == {"Basic ZHJpdmVyOmh1bnRlcjI="}
    assert PASSWORD not in driver.log.read_text()


@pytest.mark.parametrize("password", ["pass#word", "p@ss/w:rd?", "p%23ss%25", "pä ss"])
@pytest.mark.parametrize("is_up", [True, False])
def test_no_character_of_a_password_lets_it_be_seen(
    start_controller: StartController, proxy: ConnectProxy, password: str, is_up: bool
) -> None:  # F18, F12: a "#" ended the host, and the rest was shown as the port
    port = proxy.port if is_up else 1
    driver = start_controller(
        "--api-endpoint", "https://api-{zone}.cloud.test/{zone}/v2",
        "--ca-file", str(AUTHORITY),
        "--log-level", "debug",
        ready=is_up,
        HTTPS_PROXY=f"http://driver:{password}@127.0.0.1:{port}",
    )  # fmt: skip

    if not is_up:
        wait_until(lambda: "no connection" in driver.log.read_text())

    login = base64.b64encode(f"driver:{unquote(password)}".encode()).decode()
    assert set(proxy.authorizations) == ({f"Basic {login}"} if is_up else set())
    log = driver.log.read_text()
    assert not any(each in log for each in (password, unquote(password), login, "driver:"))


@pytest.mark.parametrize("small", [False, True], ids=["NO_PROXY", "no_proxy"])
def test_hosts_that_are_excepted_are_reached_directly(
    start_controller: StartController, front: TlsServer, proxy: ConnectProxy, small: bool
) -> None:
    variables = {"HTTPS_PROXY": f"127.0.0.1:{proxy.port}", "NO_PROXY": "127.0.0.0/8,localhost"}
    driver = start_controller(
        "--api-endpoint", f"https://localhost:{front.port}/{{zone}}/v2",
        "--ca-file", str(AUTHORITY),
        **{name.lower() if small else name: value for name, value in variables.items()},
    )  # fmt: skip

    Controller(driver.channel).ListVolumes(csi_pb2.ListVolumesRequest())

    assert proxy.asked == []


def test_what_the_environment_says_of_other_ways_is_ignored(
    start_controller: StartController,
) -> None:
    nowhere = "http://127.0.0.1:9"
    driver = start_controller(HTTP_PROXY=nowhere, http_proxy=nowhere, ALL_PROXY=nowhere)

    Controller(driver.channel).CreateVolume(create_volume("direct"))


def test_an_authority_that_is_not_the_system_s_must_be_named(
    start_controller: StartController, front: TlsServer
) -> None:
    driver = start_controller(
        "--api-endpoint", f"https://localhost:{front.port}/{{zone}}/v2", ready=False
    )

    wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in driver.log.read_text())

    assert "the cloud answers" not in driver.log.read_text()


def test_a_proxy_that_is_down_is_named_without_its_password(
    start_controller: StartController, front: TlsServer, proxy: ConnectProxy
) -> None:
    driver = start_controller(
        "--api-endpoint", f"https://localhost:{front.port}/{{zone}}/v2",
        "--ca-file", str(AUTHORITY),
        "--log-level", "debug",
        ready=False,
        HTTPS_PROXY=f"http://driver:{PASSWORD}@127.0.0.1:1",
    )  # fmt: skip

    wait_until(lambda: "no connection" in driver.log.read_text())

    assert PASSWORD not in driver.log.read_text()
