"""S26: a host without threads, descriptors or a reader of the log degrades, and recovers."""

from __future__ import annotations

import fcntl
import os
import pathlib
import resource

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.controller.requests import create_volume
from tests.controller.waiting import as_a_sidecar_would
from tests.csi.conftest import LIMIT_SECONDS, Start
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.grpc_errors import outcome, refused
from tests.support.pids import pids_limit
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

MANY = 30
MANY_FILES = 1024
PIPE_BYTES = 4096
LINES = 100
# What is asked stands in the log in detail: this is more than is kept while nobody reads.
LONG_LINES = 4
LONG_NAME = "x" * 1024**2

# gRPC's serving thread raises once the file is there, whatever the reason in real life.
KILLS_THE_SERVING_THREAD = """
import os
from grpc import _server
handle = _server._handle_call
def break_down(*arguments):
    if os.path.exists(FILE):
        raise MemoryError("broken on purpose")
    return handle(*arguments)
_server._handle_call = break_down
"""


@pytest.mark.root
def test_calls_wait_for_threads_that_the_host_does_not_have(start: Start) -> None:
    """S26: the serving thread died, nothing was ever answered again, SIGTERM had no effect."""
    driver = start("node", "--metadata-sources", "cdrom", ready=False)
    wait_until(lambda: "serving" in driver.log.read_text())
    ask = csi_pb2_grpc.NodeStub(driver.channel).NodeGetInfo  # who it is comes never

    with pids_limit(driver.pid) as limit:
        limit.leave(2)
        waiting = [ask.future(csi_pb2.NodeGetInfoRequest()) for _ in range(MANY)]
        wait_until(lambda: "a call waits for a thread" in driver.log.read_text())
        limit.lift()
        answer = probe(driver)
        for each in waiting:
            each.cancel()
        code = driver.stop()

    assert not answer.ready.value
    assert code == 0


@pytest.mark.root
def test_calls_that_need_further_threads_are_refused_and_succeed_later(
    start: Start, shared_cloud: SimulatorProcess
) -> None:  # S26
    driver = start("controller")
    create = csi_pb2_grpc.ControllerStub(driver.channel).CreateVolume

    with pids_limit(driver.pid) as limit:
        limit.leave(0)
        ended = [outcome(lambda: create(create_volume("crowd")))[0] for _ in range(3)]
        limit.lift()
        volume = as_a_sidecar_would(lambda: create(create_volume("crowd"))).volume

    assert set(ended) <= {"OK", "UNAVAILABLE", "ABORTED"}
    assert volume.volume_id


@pytest.mark.root
def test_a_limit_that_comes_before_the_first_call_leaves_threads_that_answer(
    start: Start,
) -> None:  # S26
    driver = start("controller", ready=False)
    wait_until(lambda: "the cloud answers" in driver.log.read_text())

    with pids_limit(driver.pid) as limit:
        limit.leave(0)
        answer = probe(driver)

    assert answer.ready.value


@pytest.mark.root
def test_sigterm_ends_a_process_that_can_begin_no_thread(start: Start) -> None:  # S22
    driver = start("controller")
    assert probe(driver).ready.value

    with pids_limit(driver.pid) as limit:
        limit.leave(0)
        code = driver.stop()

    assert code == 0


def test_a_log_that_nobody_reads_stops_no_call(
    start: Start, tmp_path: pathlib.Path
) -> None:  # S26: the driver hung after 160 calls, Probe and /livez were green, SIGTERM was ignored
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    to_the_pipe = ("sh", "-c", f'exec "$@" >{pipe} 2>&1', "sh")
    endpoint = Endpoint()
    driver = start("controller", *endpoint.flags, "--log-level", "debug", wrapper=to_the_pipe)
    ask = csi_pb2_grpc.IdentityStub(driver.channel).GetPluginInfo
    create = csi_pb2_grpc.ControllerStub(driver.channel).CreateVolume

    for _ in range(LINES):
        ask(csi_pb2.GetPluginInfoRequest(), timeout=LIMIT_SECONDS)
    for _ in range(LONG_LINES):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "name"):
            create(create_volume(LONG_NAME), timeout=LIMIT_SECONDS)
    dropped = endpoint.value("csi_exoblock_log_lines_dropped_total")
    answer, code = probe(driver), driver.stop()

    assert answer.ready.value
    assert code == 0
    assert dropped is not None
    assert dropped >= 1  # F7: there was no room for so much
    assert len(os.read(reader, PIPE_BYTES)) > PIPE_BYTES / 2  # it was full all the time
    os.close(reader)


def test_a_host_without_descriptors_recovers(start: Start) -> None:
    """S26, F18: accept was tried without a pause, and Probe failed."""
    endpoint = Endpoint()
    driver = start("controller", *endpoint.flags)
    assert endpoint.get("/livez") == 200
    assert probe(driver).ready.value
    open_files = len(os.listdir(f"/proc/{driver.pid}/fd"))

    resource.prlimit(driver.pid, resource.RLIMIT_NOFILE, (open_files + 1, MANY_FILES))
    slow = [endpoint.connect() for _ in range(MANY)]
    answer = probe(driver)
    for each in slow:
        each.close()
    resource.prlimit(driver.pid, resource.RLIMIT_NOFILE, (MANY_FILES, MANY_FILES))
    wait_until(lambda: endpoint.get("/livez") == 200)

    assert answer.ready.value


def test_a_server_that_has_died_ends_its_process(
    start: Start, tmp_path: pathlib.Path
) -> None:  # S26: a new one serves
    broken = tmp_path / "broken"
    (tmp_path / "sitecustomize.py").write_text(
        KILLS_THE_SERVING_THREAD.replace("FILE", repr(str(broken)))
    )
    driver = start("controller", PYTHONPATH=str(tmp_path))

    broken.touch()
    with pytest.raises(grpc.RpcError):
        probe(driver)

    assert driver.wait() == 1
    assert "gRPC stopped serving" in driver.log.read_text()


def probe(driver: DriverProcess) -> csi_pb2.ProbeResponse:
    identity = csi_pb2_grpc.IdentityStub(driver.channel)
    return identity.Probe(csi_pb2.ProbeRequest(), timeout=LIMIT_SECONDS)
