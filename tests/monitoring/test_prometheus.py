"""A real Prometheus scrapes real drivers: every query of dashboard and alerts has data (N3, F7)."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Callable, Iterator
from functools import partial

import grpc
import pytest
import yaml

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.apiserver.server import ApiServer
from tests.controller.requests import (
    create_snapshot,
    create_volume,
    delete_volume,
    expand,
    publish,
    unpublish,
)
from tests.csi.test_process import BREAKS_DELETE, first_imported
from tests.monitoring.dashboard import queries
from tests.monitoring.prometheus import RULES, Prometheus
from tests.node import requests as node_requests
from tests.node.disks import Disk, attached_disk, run
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until
from tests.tools import objects
from tests.tools.conftest import (
    CLUSTER,
    CONTENTS,
    CSI_NODES,
    NODES,
    UID,
    VOLUMES,
    make_volume,
)

pytestmark = [pytest.mark.thorough, pytest.mark.root]

INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
INTERVAL = "2m"
"""What Grafana puts in place of `$__rate_interval`."""

_NODE_INFO = 'csi_plugin_operations_seconds_count{method_name="/csi.v1.Node/NodeGetInfo"}'


class Scene:
    """A cluster's controller and node, on which everything happens that the dashboard shows."""

    def __init__(
        self,
        cloud: SimulatorProcess,
        controller: DriverProcess,
        node: DriverProcess,
        disks: tuple[Disk, Disk],
        kubelet: pathlib.Path,
    ) -> None:
        self._cloud = cloud
        self._controller = csi_pb2_grpc.ControllerStub(controller.channel)
        self._node = csi_pb2_grpc.NodeStub(node.channel)
        self._disk, self._foreign = disks
        self._kubelet = kubelet
        self._instance = f"{cloud.zones[0]}/{cloud.add_instance(cloud.zones[0])}"
        self._volume = ""

    def play(self, time: int) -> None:
        """Make volumes, and have calls fail in each way."""
        made = self._controller.CreateVolume(create_volume(f"scene-{time}"))
        self._volume = made.volume.volume_id
        self._controller.ControllerPublishVolume(publish(self._volume, self._instance))
        self._attempt(lambda: self._controller.ControllerExpandVolume(expand(self._volume, 3)))
        for status, call in (
            (429, "create-block-storage-snapshot"),
            (403, "get-block-storage-volume"),
            (500, "detach-block-storage-volume"),
        ):
            self._cloud.add_fault(fault="refuse", status=status, operation=call, count=1)
        snapshot = create_snapshot(f"scene-{time}", self._volume)
        self._attempt(lambda: self._controller.CreateSnapshot(snapshot))
        self._attempt(
            lambda: self._controller.ControllerUnpublishVolume(
                unpublish(self._volume, self._instance)
            )
        )
        self._break(time)
        self._on_the_node()

    def _break(self, time: int) -> None:
        """Delete a volume, which this controller is made to fail at."""
        doomed = self._controller.CreateVolume(create_volume(f"doomed-{time}")).volume.volume_id
        self._attempt(lambda: self._controller.DeleteVolume(delete_volume(doomed)))

    def _on_the_node(self) -> None:
        self._node.NodeGetInfo(csi_pb2.NodeGetInfoRequest())
        for disk in (self._disk, self._foreign):
            staging = self._kubelet / disk.path.name
            staging.mkdir(exist_ok=True)
            request = node_requests.stage(disk.volume_id, staging, node_requests.mount_capability())
            self._attempt(partial(self._node.NodeStageVolume, request))
        staging = self._kubelet / self._disk.path.name
        self._attempt(
            lambda: self._node.NodeGetVolumeHealth(
                csi_pb2.NodeGetVolumeHealthRequest(
                    volume_id=self._disk.volume_id, staging_target_path=str(staging)
                )
            )
        )
        self._attempt(
            lambda: self._node.NodeUnstageVolume(
                node_requests.unstage(self._disk.volume_id, staging)
            )
        )

    @staticmethod
    def _attempt(call: Callable[[], object]) -> None:
        """Make a call that might be refused."""
        with contextlib.suppress(grpc.RpcError):
            call()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen a controller and a node at work."""
    folder = tmp_path_factory.mktemp("scene")
    endpoints = Endpoint(), Endpoint()
    with contextlib.ExitStack() as running:
        cloud = running.enter_context(
            SimulatorProcess.start("--latency", "50ms", "--local-instance", "none")
        )
        (folder / "cluster").mkdir()
        cluster = running.enter_context(ApiServer(folder / "cluster"))
        cluster.objects[CLUSTER] = {"metadata": {"name": "kube-system", "uid": UID}}
        cluster.lists[VOLUMES], cluster.lists[CONTENTS] = [], []
        plant(cloud)
        (folder / "by-id").mkdir()
        disks = tuple(
            running.enter_context(attached_disk(folder, folder / "by-id")) for _ in range(2)
        )
        disks[1].write(0, b"somebody's data")
        controller = running.enter_context(start_controller(cloud, cluster, folder, endpoints[0]))
        node = running.enter_context(start_node(cluster, folder, endpoints[1]))
        watching = running.enter_context(
            Prometheus.start(folder, [each.port for each in endpoints])
        )
        (folder / "kubelet").mkdir()
        scene = Scene(cloud, controller, node, (disks[0], disks[1]), folder / "kubelet")
        running.callback(clean, folder / "kubelet")
        for time in range(2):
            scene.play(time)
            wait_until(partial(watching.ask, f"{_NODE_INFO} > {time}"), "the calls were seen")
        yield watching


def plant(cloud: SimulatorProcess) -> None:
    """Make what a controller finds when it starts: an orphan, a twin, a volume in state error."""
    make_volume(cloud, "left")
    for _ in range(2):
        make_volume(cloud, "same")
    broken = make_volume(cloud, "broken")
    cloud.set_volume_state(cloud.zones[0], broken["id"], "error")


def start_controller(
    cloud: SimulatorProcess, cluster: ApiServer, folder: pathlib.Path, endpoint: Endpoint
) -> DriverProcess:
    (folder / "controller").mkdir()
    (folder / "sitecustomize.py").write_text(BREAKS_DELETE)
    return DriverProcess.start(
        "controller",
        "--api-endpoint", cloud.api_endpoint,
        "--default-zone", cloud.zones[0],
        "--time-scale", "0.1",
        "--api-timeout", "100s",
        *endpoint.flags,
        folder=folder / "controller",
        environment={
            **cloud.environment,
            **cluster.environment,
            "PYTHONPATH": first_imported(folder),
        },
    )  # fmt: skip


def start_node(cluster: ApiServer, folder: pathlib.Path, endpoint: Endpoint) -> DriverProcess:
    (folder / "node").mkdir()
    cluster.objects[f"{NODES}/n1"] = objects.node("n1", INSTANCE)
    cluster.objects[f"{CSI_NODES}/n1"] = objects.csi_node("n1", 5)
    return DriverProcess.start(
        "node",
        "--instance-id", INSTANCE,
        "--zone", "ch-gva-2",
        "--device-dir", str(folder / "by-id"),
        "--kubelet-path", str(folder / "kubelet"),
        "--time-scale", "0.2",
        *endpoint.flags,
        folder=folder / "node",
        environment={**cluster.environment, "KUBE_NODE_NAME": "n1"},
    )  # fmt: skip


def clean(kubelet: pathlib.Path) -> None:
    """Unmount what is left."""
    for each in kubelet.iterdir():
        if each.is_mount():
            run("umount", str(each))


def alerts() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def parts(expression: str) -> list[str]:
    """Return what an alert's expression compares and combines, each as a query of its own.

    An alert that does not fire has no data, but what it looks at has.
    """
    text = " ".join(expression.split()).replace(" offset 15m", "")
    found = re.split(r" (?:or|and|unless)(?: on \([^)]*\))? ", text)
    return [_balanced(re.sub(r" (?:[<>]=?|==) [\d.]+$", "", each)) for each in found]


def _balanced(part: str) -> str:
    part = re.sub(r"^absent\((.*)\)$", r"\1", part)
    while part.count("(") > part.count(")"):
        part = part.replace("(", "", 1)
    while part.count(")") > part.count("("):
        part = "".join(part.rsplit(")", 1))
    return re.sub(r" (?:[<>]=?|==) [\d.]+$", "", part)


def ours(found: list[str]) -> list[str]:
    """Return the queries about the driver's own metrics, each once."""
    return sorted(
        {each for each in found if not re.search("kube_|kubelet_|storage_operation", each)}
    )


@pytest.mark.parametrize("query", ours(queries()))
def test_every_query_of_the_dashboard_has_data(prometheus: Prometheus, query: str) -> None:  # N3
    asked = query.replace("$__rate_interval", INTERVAL)

    assert wait_until(lambda: prometheus.ask(asked), f"{asked} has data")


@pytest.mark.parametrize("query", ours([part for each in alerts() for part in parts(each)]))
def test_everything_that_an_alert_looks_at_has_data(
    prometheus: Prometheus, query: str
) -> None:  # N3
    assert wait_until(lambda: prometheus.ask(query), f"{query} has data")


def test_prometheus_takes_every_rule(prometheus: Prometheus) -> None:  # N3
    wait_until(lambda: set(prometheus.rules().values()) == {"ok"})

    assert len(prometheus.rules()) == len(alerts())


def test_a_query_for_nothing_has_none(prometheus: Prometheus) -> None:
    assert prometheus.ask("csi_exoblock_nothing") == []
