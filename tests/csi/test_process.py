"""The driver as a process: flags, sockets, signals, probes, log lines."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.csi.conftest import LIMIT_SECONDS, Driver, Start
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
MAIN = "csi_exoblock.__main__"
REPOSITORY = pathlib.Path(__file__).parents[2]

# A line of the log as text.
DELETED = r'^\S+Z INFO +call ended .*rpc="DeleteVolume".*$'

# RFC 9113: how a client begins, and the head of a ping, to which its 8 bytes are added.
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0])
PINGED, HANGING_UP = 6, 7

KEY = {"EXOSCALE_API_KEY": "k", "EXOSCALE_API_SECRET": "s"}


# Ends again and again, a moment before, while or after the main thread goes to sleep.
SIGNALS_AT_ANY_MOMENT = """
import os, random, signal, sys, threading
from csi_exoblock.app.ending import Ending

asked = threading.Semaphore(0)

def end() -> None:
    while True:
        asked.acquire()
        for _ in range(random.randrange(60)):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

sys.setswitchinterval(1e-6)
threading.Thread(target=end, daemon=True).start()
ending = Ending()
for _ in range(5000):
    asked.release()
    ending.wait()
print("all seen")
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["controller", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["controller", "--grpc-workers", "many"], "many"),
        (["controller", "--api-timeout", "5 apples"], "5 apples"),
        (["controller", "--endpoint", "tcp://0.0.0.0:1"], "tcp://0.0.0.0:1"),
        (["controller", "--api-endpoint", "http://127.0.0.1/v2"], "--default-zone"),
        (["controller", "--api-endpoint", "http://cloud.example/{zone}/v2"], "--allow-plain-http"),
        (["controller", "--api-endpoint", "http://127.0.0.1.example/{zone}"], "--allow-plain-http"),
        (["controller", "--api-endpoint", "https://u:hunter2@cloud.example/{zone}"], "no user"),
        (["controller", "--api-endpoint", "https://cloud.example/{zone}?a=b"], "is no URL"),
        (["controller", "--api-endpoint", "https://cloud.example/{zone}#x"], "is no URL"),
        (["controller", "--cluster-id", "no spaces"], "no spaces"),
        (["controller", "--inherited-cluster-ids", "good,no spaces"], "no spaces"),
        (["controller", "--min-volume-size-gib", "9", "--max-volume-size-gib", "8"], "exceeds"),
        (["controller", "--max-volume-size-gib", "9999999999"], "9999999999"),
        (["controller", "--api-timeout", "0s"], "0s"),
        (["controller", "--shutdown-timeout", "25h"], "25h"),
        (["controller", "--api-max-qps", "0"], "'0' is no number a second"),
        (["controller", "--time-scale", "0"], "'0'"),
        (["controller", "--time-scale", "1001"], "1001"),
        (["controller", "--api-endpoint", "http://{zone}:65536/v2"], "65536"),
        (["controller", "--user-agent-extra", "two\nlines"], "two"),
        (["controller", "--extra-labels", "a=1,a=2"], "a=1,a=2"),
        (["controller", "--extra-labels", "exoblock/driver=me"], "exoblock/driver"),
        (["controller", "--extra-labels", "Exoblock/driver=me"], "Exoblock/driver"),
        (["controller", "--zones", "at-vie-1", "--default-zone", "at-vie-2"], "--default-zone"),
        (["node", "--kubelet-path", "kubelet"], "'kubelet'"),
        (["node", "--device-dir", "by-id"], "'by-id'"),
        (["node", "--registration-path", "reg.sock"], "'reg.sock'"),
        (["node", "--zone", "ch-gva-2"], "--instance-id"),
        (["node", "--instance-id", "7"], "7"),
        (["node", "--metrics-cert-file", "/tls.crt"], "go together"),
        (["node", "--volume-attach-limit", "2", "--reserved-volume-attachments", "2"], "reserved"),
    ],
)
def test_a_bad_value_ends_the_process_with_one_line_and_code_2(
    arguments: list[str], says: str
) -> None:
    done = run(*arguments, **KEY)

    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_the_key_is_asked_for_by_name() -> None:
    done = run("controller", EXOSCALE_API_KEY="k")

    assert done.returncode == 2
    assert "EXOSCALE_API_SECRET" in done.stderr


@pytest.mark.parametrize(
    ("key", "secret", "says"),
    [
        ("EXO1\nEXO2", "hunter2", "EXOSCALE_API_KEY has characters"),
        ("EXO 1", "hunter2", "EXOSCALE_API_KEY has a space"),
        ("EXO1,signature=hunter2", "hunter2", "EXOSCALE_API_KEY has a space or a comma"),
        ("EXO1", "hunter2\nhunter2", "EXOSCALE_API_SECRET has characters"),
        ("EXO1", "hunter2é", "EXOSCALE_API_SECRET has characters"),
        ("EXO1", " \n", "EXOSCALE_API_SECRET is empty"),
    ],
)
def test_a_bad_key_in_the_environment_ends_the_process_with_one_line_that_quotes_none_of_it(
    key: str, secret: str, says: str
) -> None:  # F1, F12: it would be in every line of every failure
    done = run("controller", EXOSCALE_API_KEY=key, EXOSCALE_API_SECRET=secret)

    assert done.returncode == 2
    assert says in done.stderr
    assert "hunter2" not in done.stderr
    assert "EXO1" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), ('{"api_key": "EXO1", "api_secret": "hunter2"', "no JSON object")],
)
def test_a_bad_credentials_file_ends_the_process_with_one_line_and_code_2(
    tmp_path: pathlib.Path, content: str | None, says: str
) -> None:  # F1: the variables don't help, for the file wins
    file = tmp_path / "credentials.json"
    if content:
        file.write_text(content)

    done = run("controller", EXOSCALE_API_CREDENTIALS_FILE=str(file), **KEY)

    assert done.returncode == 2
    assert says in done.stderr
    assert "hunter2" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bad_ca_file_ends_the_process_with_one_line_and_code_2(
    tmp_path: pathlib.Path, content: str | None
) -> None:  # F2
    file = tmp_path / "authority.pem"
    if content:
        file.write_text(content)

    done = run("controller", "--ca-file", str(file), **KEY)

    assert done.returncode == 2
    assert "authority.pem" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bad_proxy_ends_the_process_with_one_line_that_keeps_its_password() -> None:  # F2, F12
    done = run("controller", HTTPS_PROXY="ftp://driver:hunter2@proxy.example", **KEY)

    assert done.returncode == 2
    assert "HTTPS_PROXY" in done.stderr
    assert "hunter2" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bad_value_in_the_environment_counts_as_well() -> None:
    done = run("controller", CSI_EXOBLOCK_LOG_FORMAT="xml")

    assert done.returncode == 2
    assert "xml" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_before_anything_runs_is_no_trace() -> None:
    done = run("iam-role", before=pressing_ctrl_c_at_import_of("csi_exoblock.tools.iam_role"))

    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""


def test_help_needs_no_package_of_the_demo() -> None:
    without = "import sys; sys.modules['rich'] = None"

    listed, asked = run("--help", before=without), run("demo", before=without)

    assert listed.returncode == 0
    assert "csi-exoblock[demo]" in listed.stdout
    assert asked.returncode == 2
    assert "csi-exoblock[demo]" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_a_node_without_root_says_so(start: Start) -> None:
    if os.geteuid() == 0:
        driver = start("node", ready=False, wrapper=("unshare", "--user"))
    else:
        driver = start("node", ready=False)

    wait_until(lambda: "not root" in driver.log.read_text())


def test_version_says_what_is_installed() -> None:
    done = run("version")

    assert done.returncode == 0
    assert done.stdout.startswith("csi-exoblock ")
    assert "commit" in done.stdout
    assert "CSI 1.13" in done.stdout


def test_a_flag_wins_over_the_environment(start: Start) -> None:
    driver = start("controller", "--driver-name", "flag.example", CSI_EXOBLOCK_DRIVER_NAME="env")

    info = csi_pb2_grpc.IdentityStub(driver.channel).GetPluginInfo(csi_pb2.GetPluginInfoRequest())

    assert info.name == "flag.example"
    assert info.vendor_version


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("exoblock.csi.exoscale.com", "topology.exoblock.csi.exoscale.com/zone"),
        ("csi.exoscale.com", "topology.csi.exoscale.com/zone"),
    ],
)
def test_the_topology_key_is_the_driver_name_s_for_ever(
    start: Start, shared_cloud: SimulatorProcess, name: str, key: str
) -> None:  # S12, F8: with the vendor's name it is the key of the vendor's volumes
    zone = shared_cloud.zones[0]
    identity = ("--instance-id", INSTANCE, "--zone", zone)
    driver = start("all", "--driver-name", name, *identity)

    node = csi_pb2_grpc.NodeStub(driver.channel).NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    create = csi_pb2_grpc.ControllerStub(driver.channel).CreateVolume
    volume = create(create_volume("with-" + name)).volume

    assert node.accessible_topology.segments == {key: zone}
    assert [each.segments for each in volume.accessible_topology] == [{key: zone}]


def test_a_stale_socket_is_replaced(start: Start, tmp_path: pathlib.Path) -> None:
    first = start("controller")
    first.kill()
    assert first.socket.is_socket()

    second = start("controller", folder=first.socket.parent)

    assert second.socket == first.socket
    assert probe(second).ready.value


def test_a_live_socket_is_refused(start: Start) -> None:
    living = start("controller")
    done = run("controller", "--endpoint", f"unix://{living.socket}", **KEY)

    assert done.returncode != 0
    assert str(living.socket) in done.stderr.splitlines()[-1]
    assert probe(living).ready.value


def test_a_socket_whose_path_is_too_long_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()

    done = run("node", "--endpoint", f"unix://{deep}/csi.sock")

    assert done.returncode == 1
    assert f"bytes in a socket's path: '{deep}/csi.sock'" in done.stderr.splitlines()[-1]


def test_the_socket_is_for_owner_and_group_alone(start: Start) -> None:  # F14
    driver = start("controller")

    assert stat.S_IMODE(driver.socket.stat().st_mode) == 0o660
    assert umask_of(driver.pid) == umask_of(os.getpid())  # files that come later are as ever


def test_a_sidecar_that_pings_while_it_waits_stays_connected(start: Start) -> None:  # S27
    """By default gRPC hangs up after three; sidecars exit when their connection ends."""
    driver = start("controller")

    with socket.socket(socket.AF_UNIX) as sidecar:
        sidecar.settimeout(LIMIT_SECONDS)
        sidecar.connect(str(driver.socket))
        sidecar.sendall(HTTP_2)
        answers = (kind for kind in frames(sidecar) if kind in (PINGED, HANGING_UP))
        answered = []
        for number in range(10):
            sidecar.sendall(PING + number.to_bytes(8, "big"))
            answered.append(next(answers))

    assert answered == 10 * [PINGED]


def test_what_is_no_socket_is_left_alone(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "precious"
    file.write_text("data")

    done = run("node", "--endpoint", f"unix://{file}")

    assert done.returncode != 0
    assert f"is in the way and no socket: '{file}'" in done.stderr.splitlines()[-1]
    assert file.read_text() == "data"


def test_no_signal_is_missed_however_early_it_comes() -> None:  # S22
    """A process that misses it is killed after kubelet's grace, in the middle of its calls."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS_AT_ANY_MOMENT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "all seen\n"), done.stderr


def test_sigterm_lets_running_calls_finish(
    start: Start, shared_cloud: SimulatorProcess
) -> None:  # S22
    driver = start("controller", "--shutdown-timeout", "600s")  # 60 s at this time scale
    create = csi_pb2_grpc.ControllerStub(driver.channel).CreateVolume
    create(create_volume("settled"))
    shared_cloud.set_latency("create", 1.0)
    shared_cloud.clear_calls()
    running = create.future(create_volume("slow"))
    wait_for_create(shared_cloud)

    os.kill(driver.pid, signal.SIGTERM)
    answer = running.result(LIMIT_SECONDS)

    shared_cloud.set_latency("create", 0.0)
    assert answer.volume.volume_id
    assert driver.stop() == 0


def test_log_lines_are_json_with_rpc_and_ids(start: Start) -> None:
    driver = start("controller")
    controller = csi_pb2_grpc.ControllerStub(driver.channel)

    created = controller.CreateVolume(create_volume("logged")).volume.volume_id
    controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=created))

    (deleted,) = said(driver, message="call ended", rpc="DeleteVolume")
    assert deleted["volume_id"] == created
    assert deleted["code"] == "OK"
    assert deleted["operation_id"]


def test_log_lines_are_text_with_rpc_and_ids_on_request(
    start: Start, shared_cloud: SimulatorProcess
) -> None:  # F12
    driver = start("controller", "--log-format", "text", "--log-level", "debug")
    controller = csi_pb2_grpc.ControllerStub(driver.channel)

    created = controller.CreateVolume(create_volume("logged-as-text")).volume.volume_id
    controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=created))

    (deleted,) = wait_until(lambda: re.findall(DELETED, driver.log.read_text(), re.MULTILINE))
    log = driver.log.read_text()
    assert f'volume_id="{created}"' in deleted
    assert re.search(r'operation_id="[0-9a-f-]{36}"', deleted)
    assert 'code="OK"' in deleted
    assert shared_cloud.environment["EXOSCALE_API_SECRET"] not in log


def test_an_unexpected_error_is_unavailable_counted_and_leaves_its_trace(
    start: Start, tmp_path: pathlib.Path
) -> None:  # section 7: any exception without a row
    (tmp_path / "sitecustomize.py").write_text(BREAKS_DELETE)
    endpoint = Endpoint()
    driver = start("controller", *endpoint.flags, PYTHONPATH=first_imported(tmp_path))
    controller = csi_pb2_grpc.ControllerStub(driver.channel)
    volume = controller.CreateVolume(create_volume("undeletable")).volume.volume_id

    with refused(grpc.StatusCode.UNAVAILABLE, "ZeroDivisionError at: deleting the volume"):
        controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume))

    assert said(driver, message="call ended", rpc="DeleteVolume")
    lines = [json.loads(line) for line in driver.log.read_text().splitlines()]
    (trace,) = [line for line in lines if "trace" in line]
    metrics = endpoint.scrape()
    assert "broken on purpose" in trace["trace"]
    assert (trace["rpc"], trace["volume_id"]) == ("DeleteVolume", volume)
    assert re.search(r"unexpected_errors_total\{.*/DeleteVolume.*\} 1\.0", metrics)


def test_a_thread_that_dies_leaves_a_line_like_any_other(
    start: Start, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STARTS_A_DOOMED_THREAD)

    driver = start("controller", PYTHONPATH=first_imported(tmp_path))

    (dead,) = said(driver, message="thread died")
    assert dead["dead_thread"] == "doomed"
    assert "ZeroDivisionError" in dead["trace"]


# What is no request at all, and one whose first field is no text.
NO_MESSAGE, NO_TEXT = b"\xff\xff this is no message", b"\x0a\x02\xff\xfe"
WITH_TEXT = ("CreateVolume", "DeleteVolume")


@pytest.mark.parametrize(
    ("method", "request_", "says"),
    [
        *(
            (each, NO_MESSAGE, "can't be read")
            for each in (*WITH_TEXT, "ControllerGetCapabilities")
        ),
        *((each, NO_TEXT, "UTF-8") for each in WITH_TEXT),
    ],
)
def test_a_request_that_is_none_is_an_invalid_argument(
    driver: Driver, method: str, request_: bytes, says: str
) -> None:  # F17
    broken: grpc.UnaryUnaryMultiCallable[bytes, bytes] = driver.channel.unary_unary(
        f"/csi.v1.Controller/{method}"
    )

    with refused(grpc.StatusCode.INVALID_ARGUMENT, says):
        broken(request_, timeout=LIMIT_SECONDS)


BREAKS_DELETE = """
from csi_exoblock import logs
steps = logs.step
def step(name):
    steps(name)
    if name == "deleting the volume":
        raise ZeroDivisionError("broken on purpose")
logs.step = step
"""


STARTS_A_DOOMED_THREAD = """
import threading
from csi_exoblock import logs
configure = logs.configure
def then(**settings):
    lines = configure(**settings)
    threading.Thread(target=lambda: 1 / 0, name="doomed").start()
    return lines
logs.configure = then
"""


def said(driver: DriverProcess, **fields: str) -> list[dict[str, Any]]:
    """Return the lines of its log with these fields, once there is one.

    On a busy machine it answers a call before it has written the line.
    """

    def found() -> list[dict[str, Any]]:
        whole, _, _ = driver.log.read_text().rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if fields.items() <= line.items()]

    return wait_until(found, f"a line with {fields}")


def umask_of(pid: int) -> str:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return status.partition("Umask:")[2].split()[0]


def frames(connection: socket.socket) -> Iterator[int]:
    """Yield the kinds of the frames that come, until the other side hangs up."""
    with connection.makefile("rb") as stream:
        while head := stream.read(9):
            stream.read(int.from_bytes(head[:3], "big"))
            yield head[3]


def first_imported(folder: pathlib.Path) -> str:
    """Return where Python finds the folder's sitecustomize, and then the driver under test."""
    return os.pathsep.join([str(folder), str(REPOSITORY)])


def create_volume(name: str) -> csi_pb2.CreateVolumeRequest:
    mode = csi_pb2.VolumeCapability.AccessMode(
        mode=csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_MULTI_WRITER
    )
    mount = csi_pb2.VolumeCapability.MountVolume(fs_type="ext4")
    capability = csi_pb2.VolumeCapability(mount=mount, access_mode=mode)
    return csi_pb2.CreateVolumeRequest(name=name, volume_capabilities=[capability])


def pressing_ctrl_c_at_import_of(module: str) -> str:
    """Return code that has Ctrl-C come while the command imports a module."""
    return f"""
import builtins, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
imports = builtins.__import__
def press(name, *rest):
    if name == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)
    return imports(name, *rest)
builtins.__import__ = press
"""


def run(*arguments: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends by itself.

    Args:
        before: Code that runs in the process before the command does.
    """
    return subprocess.run(
        [sys.executable, "-c", f"{before}\nfrom {MAIN} import main; main()", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def probe(driver: DriverProcess) -> csi_pb2.ProbeResponse:
    return csi_pb2_grpc.IdentityStub(driver.channel).Probe(csi_pb2.ProbeRequest())


def wait_for_create(cloud: SimulatorProcess) -> None:
    wait_until(lambda: "create-block-storage-volume" in cloud.operations_called())
