"""The HTTP endpoint: alive is not ready, and metrics perhaps over TLS (N14, F7)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from csi_exoblock.csi.liveness import SelfProbe
from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.controller.requests import create_volume
from tests.csi.conftest import LIMIT_SECONDS, Start
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until
from tests.tls.tunnels import AUTHORITY, SERVER

# What the sidecars run as the chart sets them up: provisioner twice 100, attacher 50, resizer twice
# 30, snapshotter 50.
SIDECAR_WORKERS = 360

MOST_CONNECTIONS = 16

# A client has twenty seconds for its request.
PATIENT = {"CSI_EXOBLOCK_TIME_SCALE": "4"}

LIST_VOLUMES = "list-block-storage-volumes"

# Kubelet would have asked for ten minutes; the driver asks itself that often.
LONG_PROBES = 60


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def test_probes_tell_alive_from_ready(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N14
    fault = shared_cloud.add_fault(fault="refuse", status=503)
    driver = start("controller", *endpoint.flags, ready=False)
    wait_until(lambda: endpoint.get("/livez") == 200)

    assert endpoint.get("/readyz") == 503
    shared_cloud.remove_fault(fault)
    driver.wait_until_ready()
    assert endpoint.get("/readyz") == 200
    assert endpoint.get("/metrics") == 200
    assert endpoint.get("/nonsense") == 404


def test_an_api_that_is_dead_for_long_changes_nothing(
    start: Start, endpoint: Endpoint
) -> None:  # N14: nor does a storm of calls that all fail
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as cloud:
        driver = start(
            "controller",
            *endpoint.flags,
            CSI_EXOBLOCK_API_ENDPOINT=cloud.api_endpoint,
            CSI_EXOBLOCK_TIME_SCALE="0.05",
        )
        cloud.kill()
        with calls_under_way(driver, 20):
            until = endpoint.probes() + LONG_PROBES
            wait_until(lambda: endpoint.probes() >= until)

    wait_until(lambda: endpoint.get("/livez") == 200)  # a busy machine may miss three in a row
    assert endpoint.get("/readyz") == 200
    assert probe(driver).ready.value


def test_a_pool_whose_threads_are_all_stuck_is_not_alive(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N14
    hanging = shared_cloud.add_fault(fault="hang", operation="create-block-storage-volume")
    flags = ("--grpc-workers", "2", "--create-timeout", "1h")
    driver = start("controller", *endpoint.flags, *flags)
    assert endpoint.get("/livez") == 200

    with calls_under_way(driver, 2):
        wait_until(lambda: endpoint.get("/livez") == 503)
        assert endpoint.get("/readyz") == 200  # that is another question

    shared_cloud.remove_fault(hanging)
    wait_until(lambda: endpoint.get("/livez") == 200)


def test_a_node_whose_pool_is_stuck_is_not_alive(
    start: Start, endpoint: Endpoint
) -> None:  # N14: kubelet restarts it then
    flags = ("--metadata-sources", "cdrom", "--grpc-workers", "2")
    driver = start("node", *endpoint.flags, *flags, ready=False)
    wait_until(lambda: endpoint.get("/livez") == 200)
    ask = csi_pb2_grpc.NodeStub(driver.channel).NodeGetInfo

    stuck = [ask.future(csi_pb2.NodeGetInfoRequest()) for _ in range(2)]  # who it is comes never
    wait_until(lambda: endpoint.get("/livez") == 503)
    for call in stuck:
        call.cancel()
    wait_until(lambda: endpoint.get("/livez") == 200)


def test_a_socket_that_nobody_finds_is_not_alive(
    start: Start, endpoint: Endpoint
) -> None:  # S27: the driver's own connection still worked
    driver = start("controller", *endpoint.flags)
    until = endpoint.probes() + 2
    wait_until(lambda: endpoint.probes() >= until)

    driver.socket.unlink()

    wait_until(lambda: endpoint.get("/livez") == 503)


def test_as_many_calls_as_the_sidecars_have_workers_leave_probe_its_answer(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N14, S21
    hanging = shared_cloud.add_fault(fault="hang", operation="create-block-storage-volume")
    driver = start("controller", *endpoint.flags)

    with calls_under_way(driver, SIDECAR_WORKERS):
        until = endpoint.probes() + 5
        wait_until(lambda: endpoint.probes() >= until)
        wait_until(lambda: endpoint.get("/livez") == 200)  # a busy machine may miss three in a row
        answer = probe(driver)

    shared_cloud.remove_fault(hanging)
    assert answer.ready.value


def test_more_calls_than_there_are_threads_leave_probe_its_answer(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N14: kubelet would restart the driver, which helps nobody
    hanging = shared_cloud.add_fault(fault="hang", operation="create-block-storage-volume")
    driver = start("controller", *endpoint.flags, "--grpc-workers", "20")

    with calls_under_way(driver, 60) as calls:
        until = endpoint.probes() + 5
        wait_until(lambda: endpoint.probes() >= until)
        wait_until(lambda: endpoint.get("/livez") == 200)  # a busy machine may miss three in a row
        answer = probe(driver)
        wait_until(lambda: sum(each.done() for each in calls) == 42)
        codes = {each.code() for each in calls if each.done()}

    shared_cloud.remove_fault(hanging)
    assert answer.ready.value
    assert codes == {grpc.StatusCode.UNAVAILABLE}  # its callers come again


@pytest.mark.parametrize("threads", [3, 9])
def test_few_threads_leave_probe_its_answer_too(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint, threads: int
) -> None:  # N14
    hanging = shared_cloud.add_fault(fault="hang", operation=LIST_VOLUMES)
    flags = ("--grpc-workers", str(threads))
    driver = start("controller", *endpoint.flags, *flags, ready=False, **PATIENT)
    wait_until(lambda: endpoint.get("/livez") == 200)

    with calls_under_way(driver, threads) as calls:
        wait_until(lambda: any(each.done() for each in calls))  # its thread would be Probe's
        probe(driver)
        waiting = [each for each in calls if not each.done()]

    shared_cloud.remove_fault(hanging)
    assert len(waiting) == threads - 1


def test_a_node_that_does_not_know_itself_yet_is_alive_and_not_ready(
    start: Start, tmp_path: pathlib.Path, endpoint: Endpoint
) -> None:  # S10, N14: it needs neither the API nor any metadata to start
    sources = ("--metadata-sources", "cdrom")
    start("node", "--device-dir", str(tmp_path), *endpoint.flags, *sources, ready=False)

    wait_until(lambda: endpoint.get("/livez") == 200)
    until = endpoint.probes() + 4  # three without an answer would be the end
    wait_until(lambda: endpoint.probes() >= until)

    wait_until(lambda: endpoint.get("/livez") == 200)  # a busy machine may miss three in a row
    assert endpoint.get("/readyz") == 503


def test_a_wrong_key_keeps_the_controller_from_being_ready_and_kubelet_is_told(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N14, F11
    right = shared_cloud.environment
    driver = start("controller", *endpoint.flags, ready=False, EXOSCALE_API_SECRET="wrong")
    wait_until(lambda: endpoint.get("/livez/why") == 300)  # for kubelet it is alive
    wait_until(lambda: "check the API key" in endpoint.read("/livez/why").text)

    assert endpoint.read("/livez/why").text.removesuffix("\n").isprintable()
    assert endpoint.get("/readyz") == 503
    assert not probe(driver).ready.value

    shared_cloud.put_key(right["EXOSCALE_API_KEY"], "wrong")
    driver.wait_until_ready()
    shared_cloud.put_key(right["EXOSCALE_API_KEY"], right["EXOSCALE_API_SECRET"])
    assert (endpoint.get("/livez/why"), endpoint.get("/readyz")) == (200, 200)


def test_zones_that_the_cloud_tells_to_everybody_prove_no_key(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N14
    refused = shared_cloud.add_fault(fault="refuse", operation=LIST_VOLUMES, status=403)
    driver = start("controller", *endpoint.flags, ready=False)
    wait_until(lambda: "zone not read" in driver.log.read_text())

    assert endpoint.get("/readyz") == 503
    shared_cloud.remove_fault(refused)
    driver.wait_until_ready()


def test_a_zone_that_hangs_from_the_start_holds_up_nobody(
    start: Start, shared_cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N14, S12
    first = shared_cloud.zones[0]
    silent = {"fault": "delay", "seconds": 300.0, "operation": LIST_VOLUMES, "zone": first}
    hanging = shared_cloud.add_fault(**silent)

    patient = {"CSI_EXOBLOCK_TIME_SCALE": "10"}  # minutes pass before the zone is given up
    start("controller", *endpoint.flags, **patient).wait_until_ready()

    assert endpoint.get("/readyz") == 200
    shared_cloud.remove_fault(hanging)


def test_a_node_says_to_kubelet_which_source_of_its_identity_fails(
    start: Start, tmp_path: pathlib.Path, endpoint: Endpoint
) -> None:  # S10, F11
    sources = ("--metadata-sources", "kubernetes,cdrom")
    start("node", "--device-dir", str(tmp_path), *endpoint.flags, *sources, ready=False)
    wait_until(lambda: endpoint.get("/livez/why") == 300)
    wait_until(lambda: "not asked yet" not in endpoint.read("/livez/why").text)

    told = endpoint.read("/livez/why")

    assert told.status_code == 300
    for word in ("kubernetes: ", "cdrom: ", "--instance-id"):
        assert word in told.text


def test_a_stuck_process_is_not_alive_whatever_it_waits_for(
    start: Start, endpoint: Endpoint
) -> None:  # N14
    flags = ("--metadata-sources", "cdrom", "--grpc-workers", "2")
    driver = start("node", *endpoint.flags, *flags, ready=False)
    wait_until(lambda: endpoint.get("/livez/why") == 300)
    ask = csi_pb2_grpc.NodeStub(driver.channel).NodeGetInfo

    stuck = [ask.future(csi_pb2.NodeGetInfoRequest()) for _ in range(2)]

    wait_until(lambda: endpoint.get("/livez/why") == 503)
    for call in stuck:
        call.cancel()


@pytest.mark.parametrize("stuck", [True, False])
def test_a_process_whose_calls_all_hang_is_not_alive_though_probe_has_a_thread_of_its_own(
    start: Start, *, stuck: bool
) -> None:  # N14
    driver = start("controller")

    probe = SelfProbe(
        socket_path=driver.socket, timeout_seconds=LIMIT_SECONDS, is_stuck=lambda: stuck
    )

    assert probe() is not stuck


def test_the_metrics_are_where_they_are_wanted(start: Start, endpoint: Endpoint) -> None:
    start("controller", *endpoint.flags, "--metrics-path", "/secret/metrics")

    assert endpoint.get("/secret/metrics?name[]=x") == 200
    assert endpoint.get("/metrics") == 404


def test_with_a_certificate_the_endpoint_speaks_tls_only(start: Start, endpoint: Endpoint) -> None:
    files = ("--metrics-cert-file", str(SERVER), "--metrics-key-file", str(SERVER))
    start("controller", *endpoint.flags, *files)

    for path in ("/metrics", "/livez", "/readyz"):
        assert endpoint.read(path, authority=AUTHORITY).status_code == 200
    assert endpoint.get("/metrics") == 0


def test_a_certificate_that_can_t_be_used_changes_nothing(
    start: Start, endpoint: Endpoint, tmp_path: pathlib.Path
) -> None:  # N14: kubelet would end every healthy process, and no new one could start
    certificate = tmp_path / "tls.pem"
    shutil.copy(SERVER, certificate)
    files = ("--metrics-cert-file", str(certificate), "--metrics-key-file", str(SERVER))
    driver = start("controller", *endpoint.flags, *files)

    def probe() -> int:
        return endpoint.read("/livez", authority=AUTHORITY).status_code

    assert probe() == 200
    certificate.write_text("not one")
    assert (probe(), probe()) == (200, 200)
    assert driver.log.read_text().count("the certificate can't be used") == 1
    certificate.unlink()
    assert probe() == 200
    shutil.copy(SERVER, certificate)
    assert probe() == 200


def test_a_client_that_says_nothing_holds_up_nobody(start: Start, endpoint: Endpoint) -> None:
    files = ("--metrics-cert-file", str(SERVER), "--metrics-key-file", str(SERVER))
    long = {"CSI_EXOBLOCK_TIME_SCALE": "2"}  # they are still there when the last one comes
    start("controller", *endpoint.flags, *files, **long)
    context = ssl.create_default_context(cafile=AUTHORITY)

    silent = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(20)]
    half = context.wrap_socket(silent.pop(), server_hostname="localhost")
    half.sendall(b"GET /livez")
    status = endpoint.read("/livez", authority=AUTHORITY).status_code

    assert status == 200
    for each in (half, *silent):  # all of them are shown the door after a while
        each.settimeout(LIMIT_SECONDS)
        assert each.recv(1) == b""
        each.close()


def test_hundreds_of_slow_clients_take_sixteen_places_and_keep_nobody_out(
    start: Start, endpoint: Endpoint
) -> None:  # F18: each took a thread, and what it had sent stayed in memory
    driver = start("controller", *endpoint.flags, **PATIENT)  # and so with slow clients
    assert endpoint.get("/metrics") == 200
    before = len(os.listdir(f"/proc/{driver.pid}/task"))

    slow = [endpoint.connect() for _ in range(300)]
    for each in slow:
        with contextlib.suppress(OSError):  # it has lost its place already
            each.sendall(b"GET /livez HTTP/1.1\r\nX-Long: " + b"x" * 10_000)
    statuses = {endpoint.get_at_once(path) for path in ("/livez", "/readyz", "/metrics")}
    during = len(os.listdir(f"/proc/{driver.pid}/task"))

    assert statuses == {200}
    assert during - before <= MOST_CONNECTIONS
    for each in slow:
        each.close()


def test_a_client_that_drips_is_shown_the_door(start: Start, endpoint: Endpoint) -> None:  # F18
    start("controller", *endpoint.flags)
    client = endpoint.connect()
    client.sendall(b"GET /livez HTTP/1.1\r\nX-Long: ")
    client.setblocking(False)  # or it would wait for an answer instead of dripping on

    def is_closed() -> bool:
        try:
            client.sendall(b"x")  # again and again: it never says nothing for long
            return client.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    wait_until(is_closed, seconds=LIMIT_SECONDS)
    client.close()


@pytest.mark.parametrize("line", [b"X: " + b"x" * 100_000, b"X: x\r\n" * 1_000_000])
def test_endless_headers_are_refused(
    start: Start, endpoint: Endpoint, line: bytes
) -> None:  # F18: six megabytes each were kept
    start("controller", *endpoint.flags, **PATIENT)

    with endpoint.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(b"GET /livez HTTP/1.1\r\n" + line)
        assert b" 431 " in client.recv(1000)

    assert endpoint.get("/livez") == 200


def test_the_endpoint_says_nothing_of_versions(start: Start, endpoint: Endpoint) -> None:  # F18
    start("controller", *endpoint.flags)

    for path in ("/livez", "/nonsense"):
        assert "Server" not in endpoint.read(path).headers


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"501"),
        (b"GET /livez HTTP/1.0\r\n\r\n", b"200"),
        (b"GET\r\n\r\n", b"400"),
        (b"\x00\xff nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
)
def test_what_is_no_get_is_refused(
    start: Start, endpoint: Endpoint, request_: bytes, status: bytes
) -> None:
    start("controller", *endpoint.flags, **PATIENT)

    with socket.create_connection(("127.0.0.1", endpoint.port), LIMIT_SECONDS) as client:
        client.sendall(request_)
        answer = b"".join(iter(lambda: client.recv(1000), b""))

    assert status in answer


@contextmanager
def calls_under_way(driver: DriverProcess, count: int) -> Iterator[list[Any]]:
    """Keep a number of creates under way for the length of the block."""
    create = csi_pb2_grpc.ControllerStub(driver.channel).CreateVolume
    running = [create.future(create_volume(f"busy-{n}")) for n in range(count)]
    try:
        yield running
    finally:
        for each in running:
            each.cancel()


def probe(driver: DriverProcess) -> csi_pb2.ProbeResponse:
    return csi_pb2_grpc.IdentityStub(driver.channel).Probe(csi_pb2.ProbeRequest())
