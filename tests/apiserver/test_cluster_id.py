"""D12, C4: in a pod the cluster's id is the UID of kube-system, and nothing is done without it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.apiserver.server import ApiServer, Hang, Status, Step
from tests.controller.requests import create_volume, delete_volume
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

CLUSTER = "/api/v1/namespaces/kube-system"
UID = "0b7a4a4e-6f0e-4f0c-9c39-3fb0dd1d8a51"
OTHER = "22222222-6f0e-4f0c-9c39-3fb0dd1d8a51"

StartController = Callable[..., DriverProcess]


@pytest.fixture(scope="module")
def cloud() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as running:
        yield running


@pytest.fixture
def start_controller(
    cloud: SimulatorProcess, server: ApiServer, tmp_path: pathlib.Path
) -> Iterator[StartController]:
    """Start controllers in the cluster; they end with the test."""
    server.objects[CLUSTER] = {"metadata": {"name": "kube-system", "uid": UID}}
    with ExitStack() as running:

        def start(*flags: str, ready: bool = True, **environment: str) -> DriverProcess:
            folder = tmp_path / f"controller-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return running.enter_context(
                DriverProcess.start(
                    "controller",
                    "--api-endpoint", cloud.api_endpoint,
                    "--default-zone", cloud.zones[0],
                    "--time-scale", "0.1",
                    *flags,
                    folder=folder,
                    ready=ready,
                    environment={**cloud.environment, **server.environment, **environment},
                )
            )  # fmt: skip

        yield start


def volume_of(cloud: SimulatorProcess, volume_id: str) -> dict[str, Any]:
    """Return a volume as the cloud holds it."""
    return next(each for each in cloud.volumes() if each["id"] == volume_id.rpartition("/")[2])


def label_of_a_new_volume(
    controller: DriverProcess, cloud: SimulatorProcess, name: str
) -> str | None:
    """Return the cluster's id that a controller writes on a volume."""
    stub = csi_pb2_grpc.ControllerStub(controller.channel)
    volume_id = stub.CreateVolume(create_volume(name)).volume.volume_id
    return cast(str | None, volume_of(cloud, volume_id)["labels"].get("exoblock/cluster-id"))


def test_the_uid_of_kube_system_is_on_every_volume(
    cloud: SimulatorProcess, start_controller: StartController, server: ApiServer
) -> None:  # C4
    controller = start_controller()

    assert label_of_a_new_volume(controller, cloud, "by-uid") == UID
    assert {(each.method, each.path) for each in server.received} == {("GET", CLUSTER)}


@pytest.mark.parametrize(("flag", "label"), [("mine", "mine"), ("none", None)])
def test_an_id_that_is_given_needs_no_kubernetes(
    cloud: SimulatorProcess,
    start_controller: StartController,
    server: ApiServer,
    flag: str,
    label: str | None,
) -> None:  # D12
    server.always(CLUSTER, Hang())

    controller = start_controller("--cluster-id", flag)

    assert label_of_a_new_volume(controller, cloud, f"given-{flag}") == label
    assert server.received == []


def test_outside_of_a_cluster_there_is_no_id(
    cloud: SimulatorProcess, start_controller: StartController
) -> None:  # D12
    controller = start_controller(KUBERNETES_SERVICE_HOST="")

    assert label_of_a_new_volume(controller, cloud, "outside") is None


def test_nothing_is_made_or_deleted_before_the_cluster_is_known(
    cloud: SimulatorProcess, start_controller: StartController, server: ApiServer
) -> None:  # D12, C4, N14
    theirs = start_controller("--cluster-id", OTHER)
    stub = csi_pb2_grpc.ControllerStub(theirs.channel)
    volume_id = stub.CreateVolume(create_volume("theirs")).volume.volume_id
    server.always(CLUSTER, Status(503))
    controller = start_controller(ready=False)
    wait_until(lambda: "the cloud answers" in controller.log.read_text())
    wait_until(lambda: server.count("GET", CLUSTER) > 1)

    probe = csi_pb2_grpc.IdentityStub(controller.channel).Probe(csi_pb2.ProbeRequest())
    stub = csi_pb2_grpc.ControllerStub(controller.channel)

    assert not probe.ready.value
    with refused(grpc.StatusCode.UNAVAILABLE, "cluster's id is not known yet", "--cluster-id"):
        stub.CreateVolume(create_volume("early"))
    with refused(grpc.StatusCode.UNAVAILABLE, "cluster's id is not known yet"):
        stub.DeleteVolume(delete_volume(volume_id))
    assert [each["name"] for each in cloud.volumes() if each["name"] == "early"] == []
    server.always(CLUSTER, None)
    controller.wait_until_ready()
    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"cluster {OTHER}"):
        stub.DeleteVolume(delete_volume(volume_id))


@pytest.mark.parametrize(
    "step", [Status(500), Status(404), Status(403), Hang()], ids=lambda step: str(step)[:40]
)
def test_a_controller_gets_ready_when_the_api_server_does(
    start_controller: StartController, server: ApiServer, step: Step
) -> None:  # N14
    server.always(CLUSTER, step)
    controller = start_controller(ready=False)
    wait_until(lambda: server.count("GET", CLUSTER) > 1)

    server.always(CLUSTER, None)

    controller.wait_until_ready()


def test_an_outage_later_changes_nothing(
    cloud: SimulatorProcess, start_controller: StartController, server: ApiServer
) -> None:  # N14
    controller = start_controller()

    server.always(CLUSTER, Status(503))

    controller.wait_until_ready()
    assert label_of_a_new_volume(controller, cloud, "later") == UID


def test_the_variable_cluster_is_the_uid(
    cloud: SimulatorProcess, start_controller: StartController
) -> None:  # N10
    stub = csi_pb2_grpc.ControllerStub(start_controller().channel)
    template = {"volumeNameTemplate": "{{cluster}}-{{pv.name}}"}

    answer = stub.CreateVolume(create_volume("templated", parameters=template))

    assert volume_of(cloud, answer.volume.volume_id)["name"] == f"{UID}-templated"
