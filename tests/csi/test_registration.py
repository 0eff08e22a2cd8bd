"""N18: the node plugin registers itself with kubelet, played here by its client's two calls."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator

import grpc
import pytest

from csi_exoblock.pb import pluginregistration_pb2, pluginregistration_pb2_grpc
from tests.csi.conftest import INSTANCE
from tests.support.driver_process import DriverProcess
from tests.support.waiting import eventually, wait_until

NAME = "exoblock.csi.exoscale.com"


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """Kubelet's folder; pytest's own path may be too long for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="kubelet-") as name:
        yield pathlib.Path(name)


@pytest.fixture
def socket(folder: pathlib.Path) -> pathlib.Path:
    """Where kubelet looks for plugins."""
    registry = folder / "plugins_registry"
    registry.mkdir()
    return registry / f"{NAME}-reg.sock"


@pytest.fixture
def plugin(folder: pathlib.Path, socket: pathlib.Path) -> Iterator[DriverProcess]:
    flags = ("--instance-id", INSTANCE, "--zone", "ch-gva-2")
    with start(folder, socket, *flags) as running:
        yield running


def start(folder: pathlib.Path, socket: pathlib.Path, *flags: str) -> DriverProcess:
    return DriverProcess.start(
        "node",
        "--registration-path", str(socket),
        "--kubelet-path", str(folder),
        "--time-scale", "0.1",
        *flags,
        folder=folder,
        ready=False,
    )  # fmt: skip


def test_kubelet_is_told_name_and_socket(plugin: DriverProcess, socket: pathlib.Path) -> None:
    wait_until(socket.is_socket)

    with grpc.insecure_channel(f"unix:{socket}") as channel:
        kubelet = pluginregistration_pb2_grpc.RegistrationStub(channel)
        info = kubelet.GetInfo(pluginregistration_pb2.InfoRequest())
        kubelet.NotifyRegistrationStatus(
            pluginregistration_pb2.RegistrationStatus(plugin_registered=True)
        )

    assert (info.type, info.name, info.endpoint) == ("CSIPlugin", NAME, str(plugin.socket))
    assert list(info.supported_versions) == ["1.0.0"]
    wait_until(lambda: "registered with kubelet" in plugin.log.read_text())


def test_kubelet_is_told_its_own_path_of_a_socket_in_a_container(
    folder: pathlib.Path, socket: pathlib.Path, tmp_path: pathlib.Path
) -> None:  # N18, F4: the plugin's folder is mounted as /csi or the like
    flags = ("--instance-id", INSTANCE, "--zone", "ch-gva-2", "--kubelet-path", str(tmp_path))
    with start(folder, socket, *flags):
        wait_until(socket.is_socket)

        with grpc.insecure_channel(f"unix:{socket}") as channel:
            kubelet = pluginregistration_pb2_grpc.RegistrationStub(channel)
            info = kubelet.GetInfo(pluginregistration_pb2.InfoRequest())

    assert info.endpoint == f"{tmp_path}/plugins/{NAME}/csi.sock"


def test_a_refusal_is_logged_and_the_plugin_stays(
    plugin: DriverProcess, socket: pathlib.Path
) -> None:
    wait_until(socket.is_socket)

    with grpc.insecure_channel(f"unix:{socket}") as channel:
        kubelet = pluginregistration_pb2_grpc.RegistrationStub(channel)
        refusal = pluginregistration_pb2.RegistrationStatus(plugin_registered=False, error="no")
        kubelet.NotifyRegistrationStatus(refusal)
        kubelet.GetInfo(pluginregistration_pb2.InfoRequest())

    wait_until(lambda: "kubelet refused the registration" in plugin.log.read_text())


def test_a_refused_registration_is_repeated(
    plugin: DriverProcess, socket: pathlib.Path
) -> None:  # S27, N18: before 1.36 kubelet forgets the driver for good
    wait_until(socket.is_socket)
    before = socket.stat().st_ino

    notify(socket, plugin_registered=False, error="no API server")

    wait_until(lambda: socket.stat().st_ino != before)
    wait_until(lambda: answers(socket))
    before = socket.stat().st_ino
    notify(socket, plugin_registered=True)
    assert not eventually(lambda: socket.stat().st_ino != before, seconds=2.0)


def notify(socket: pathlib.Path, *, plugin_registered: bool, error: str = "") -> None:
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        pluginregistration_pb2_grpc.RegistrationStub(channel).NotifyRegistrationStatus(
            pluginregistration_pb2.RegistrationStatus(
                plugin_registered=plugin_registered, error=error
            )
        )


def test_the_socket_outlives_sigterm_and_a_crash(
    plugin: DriverProcess, folder: pathlib.Path, socket: pathlib.Path
) -> None:  # kubelet removes a driver whose socket goes
    wait_until(socket.is_socket)

    plugin.stop()

    assert socket.is_socket()
    with start(folder, socket, "--instance-id", INSTANCE, "--zone", "ch-gva-2") as second:
        second.wait_until_ready()
        wait_until(lambda: answers(socket))
        second.kill()
    assert socket.is_socket()


def test_nothing_is_registered_before_the_node_knows_itself(
    folder: pathlib.Path, socket: pathlib.Path
) -> None:  # S10
    with start(folder, socket, "--metadata-sources", "cdrom") as waiting:
        wait_until(waiting.socket.is_socket)
        wait_until(lambda: "serving" in waiting.log.read_text())

        assert not socket.exists()


def test_a_socket_that_a_clean_up_removed_comes_back(
    plugin: DriverProcess, socket: pathlib.Path
) -> None:  # S27: it never did, with /livez 200
    for _ in range(2):
        wait_until(lambda: answers(socket))
        socket.unlink()

    wait_until(lambda: answers(socket))
    assert plugin.stop() == 0
    assert socket.is_socket()


@pytest.mark.parametrize("obstacle", ["no folder", "a folder", "a file"])
def test_registration_is_tried_until_its_place_is_free(
    folder: pathlib.Path, socket: pathlib.Path, obstacle: str
) -> None:  # S27
    if obstacle == "no folder":
        socket.parent.rmdir()
    elif obstacle == "a folder":
        socket.mkdir()
    else:
        socket.write_text("precious")

    with start(folder, socket, "--instance-id", INSTANCE, "--zone", "ch-gva-2") as plugin:
        wait_until(lambda: "can't register" in plugin.log.read_text())
        assert obstacle != "a file" or socket.read_text() == "precious"
        if obstacle == "no folder":
            socket.parent.mkdir()
        elif obstacle == "a folder":
            socket.rmdir()
        else:
            socket.unlink()
        wait_until(lambda: answers(socket))


def answers(socket: pathlib.Path) -> bool:
    # Not over a connection that is left from an earlier question: that outlives the socket.
    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
        try:
            pluginregistration_pb2_grpc.RegistrationStub(channel).GetInfo(
                pluginregistration_pb2.InfoRequest()
            )
        except grpc.RpcError:
            return False
        return True
