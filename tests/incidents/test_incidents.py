"""Each incident of docs/incidents.md is brought about, and seen as the page says (N11, N20, N3)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from csi_exoblock.app.inspection import inspected_host
from csi_exoblock.config import NodeSettings
from csi_exoblock.host.devices import serial_of
from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from csi_exoblock.timing import Timing
from csi_exoblock.tools import doctor
from csi_exoblock.tools.doctor_disks import DiskChecks
from tests.apiserver.server import ApiServer
from tests.controller.requests import create_snapshot, create_volume, expand, publish, unpublish
from tests.incidents import incidents
from tests.incidents.alarms import fires
from tests.incidents.incidents import INCIDENTS, PAGE, Incident, text
from tests.node import requests as node_requests
from tests.node.disks import Disk, attached_disk
from tests.repository.test_pages import anchors
from tests.repository.test_troubleshooting import EVENTS, shows
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.grpc_errors import outcome
from tests.support.simulator_process import API_SECRET, SimulatorProcess, permitted_operations
from tests.support.waiting import wait_until
from tests.tools.conftest import (
    ATTACHMENTS,
    CLAIMS,
    CONTENTS,
    CSI_NODES,
    NODES,
    VOLUMES,
    make_volume,
    run_tool,
)
from tests.tools.objects import (
    DRIVER,
    attachment,
    claim,
    persistent_volume,
    snapshot_content,
)
from tests.tools.test_doctor_node import FakeDisks

slow = pytest.mark.thorough
KEY = "EXOofthisincident"
ATTACH = "attach-block-storage-volume-to-instance"
SECONDS = 2.0
"""How long a call is waited for that does not end."""

Plant = Callable[["Scene"], str]


class Scene:
    """A cluster with a controller and a node's plugin, which is in order until it is broken.

    Attributes:
        instance: The instance of the Node `n1`.
        before: What the drivers' metrics were before the incident.
    """

    def __init__(
        self,
        cloud: SimulatorProcess,
        cluster: ApiServer,
        folder: pathlib.Path,
        running: contextlib.ExitStack,
    ) -> None:
        self.cloud = cloud
        self.cluster = cluster
        self.folder = folder
        self.running = running
        self.zone = cloud.zones[0]
        (found,) = cluster.lists[NODES]
        self.instance = str(found["spec"]["providerID"]).removeprefix("exoscale://")
        self.before = ""
        self._endpoints: list[Endpoint] = []
        cloud.put_key(KEY, API_SECRET)

    @property
    def environment(self) -> dict[str, str]:
        """That of the driver's pod."""
        return {**self.cloud.environment, "EXOSCALE_API_KEY": KEY, **self.cluster.environment}

    def controller(self) -> csi_pb2_grpc.ControllerStub:
        """Start the controller."""
        flags = ("--api-endpoint", self.cloud.api_endpoint, "--default-zone", self.zone)
        started = self._start("controller", *flags, environment=self.environment)
        return csi_pb2_grpc.ControllerStub(started.channel)

    def node(self, **environment: str) -> csi_pb2_grpc.NodeStub:
        """Start the node's plugin."""
        (self.folder / "by-id").mkdir(exist_ok=True)
        started = self._start(
            "node",
            "--instance-id", self.instance,
            "--zone", self.zone,
            "--device-dir", str(self.folder / "by-id"),
            "--kubelet-path", str(self.folder),
            environment=environment,
        )  # fmt: skip
        return csi_pb2_grpc.NodeStub(started.channel)

    def healthy_until_now(self) -> None:
        """Take the metrics from before the incident."""
        self.before = self.metrics()

    def metrics(self) -> str:
        """Return the metrics of all drivers."""
        return "".join(each.scrape() for each in self._endpoints)

    def value(self, name: str) -> float:
        """Return a metric of the first driver."""
        return self._endpoints[0].value(name) or 0.0

    def disk(self) -> Disk:
        """Attach a blank disk to this host."""
        (self.folder / "by-id").mkdir(exist_ok=True)
        return self.running.enter_context(attached_disk(self.folder, self.folder / "by-id"))

    def of_claim(self, volume: str) -> None:
        """Have a volume be that of the claim `data`, attached to n1."""
        self.cluster.lists[VOLUMES] = [persistent_volume("pv", volume, claim="data")]
        self.cluster.lists[CLAIMS] = [claim("data", volume="pv")]
        self.cluster.lists[ATTACHMENTS] = [attachment("pv", "n1")]

    def run(self, command: str) -> str:
        """Run a command of the operator's in the controller's pod, and return its output."""
        return run_tool(
            *command.split(),
            environment={
                **self.environment,
                "CSI_EXOBLOCK_API_ENDPOINT": self.cloud.api_endpoint,
                "CSI_EXOBLOCK_MIN_AGE": "0s",  # of orphans
            },
        ).output

    def _start(self, command: str, *flags: str, environment: dict[str, str]) -> DriverProcess:
        endpoint = Endpoint()
        self._endpoints.append(endpoint)
        folder = self.folder / f"of-{command}"
        folder.mkdir()
        return self.running.enter_context(
            DriverProcess.start(
                command,
                "--time-scale", "0.1",
                *flags,
                *endpoint.flags,
                folder=folder,
                environment=environment,
            )
        )  # fmt: skip


def message(call: Callable[[], object]) -> str:
    """Return what a call is refused with, as an event shows it."""
    code, said = outcome(call)
    assert code != "OK"
    return said


def revoke_the_key(scene: Scene) -> str:
    controller = scene.controller()
    controller.CreateVolume(create_volume("before"))
    scene.healthy_until_now()
    scene.cloud.revoke_key(KEY)
    return message(lambda: controller.CreateVolume(create_volume("after")))


def take_a_right(scene: Scene) -> str:
    controller = scene.controller()
    made = controller.CreateVolume(create_volume("data")).volume.volume_id
    scene.healthy_until_now()
    scene.cloud.put_key(
        KEY, API_SECRET, [each for each in permitted_operations() if each != ATTACH]
    )
    return message(
        lambda: controller.ControllerPublishVolume(publish(made, f"{scene.zone}/{scene.instance}"))
    )


def use_up_the_quota(scene: Scene) -> str:
    make_volume(scene.cloud, "only")
    scene.cloud.set_quota("block-storage-volume", 1)
    controller = scene.controller()
    said = message(lambda: controller.CreateVolume(create_volume("one-more")))
    wait_until(lambda: "csi_exoblock_quota_usage" in scene.metrics())
    return said


def lose_a_node(scene: Scene) -> str:
    (found,) = scene.cluster.lists[NODES]
    found["status"]["conditions"][0]["status"] = "Unknown"
    scene.cluster.lists[ATTACHMENTS] = [attachment("elsewhere", "n1")]
    # What kube-state-metrics shows of it.
    ready = 'kube_node_status_condition{node="n1",condition="Ready",status="true"}'
    attached = 'kube_volumeattachment_info{attacher="exoblock.csi.exoscale.com",node="n1"} 1\n'
    scene.before = f"{ready} 1\n{attached}"
    scene.metrics = lambda: f"{ready} 0\n{attached}"  # type: ignore[method-assign]
    return ""


def forget_the_plugin(scene: Scene) -> str:
    scene.cluster.lists[CSI_NODES] = []
    scene.node(**scene.cluster.environment, KUBE_NODE_NAME="n1")
    wait_until(lambda: "csi_exoblock_registered" in scene.metrics())
    return ""


def let_a_detach_hang(scene: Scene) -> str:
    controller, instance = scene.controller(), f"{scene.zone}/{scene.instance}"
    made = controller.CreateVolume(create_volume("data")).volume.volume_id
    controller.ControllerPublishVolume(publish(made, instance))
    scene.healthy_until_now()
    scene.cloud.set_latency("detach", 3600)
    message(
        lambda: controller.ControllerUnpublishVolume(unpublish(made, instance), timeout=SECONDS)
    )
    # The first call, whose caller has left, may hold the volume for a moment.
    said = " has held it for "
    while " has held it for " in said:
        said = message(lambda: controller.ControllerUnpublishVolume(unpublish(made, instance)))
    scene.of_claim(made)
    scene.cluster.lists[ATTACHMENTS] = [attachment("pv", "n1", leaving=True, error=said)]
    wait_until(lambda: scene.value("csi_exoblock_detach_pending_oldest_seconds") > 0)
    return said


def enlarge_a_volume_in_use(scene: Scene) -> str:
    instance = f"{scene.zone}/{scene.instance}"
    with contextlib.ExitStack() as first:
        before = Scene(scene.cloud, scene.cluster, scene.folder / "1", first)
        before.folder.mkdir()
        controller = before.controller()
        made = controller.CreateVolume(create_volume("data")).volume.volume_id
        controller.ControllerPublishVolume(publish(made, instance))
        said = message(lambda: controller.ControllerExpandVolume(expand(made, 3)))
    scene.controller()  # it reads what waits when it starts
    scene.of_claim(made)
    scene.cluster.lists[CLAIMS] = [claim("data", volume="pv", asked="3Gi")]
    wait_until(lambda: scene.value("csi_exoblock_resize_pending_oldest_seconds") > 0)
    return said


def let_a_snapshot_hang(scene: Scene) -> str:
    controller = scene.controller()
    made = controller.CreateVolume(create_volume("data")).volume.volume_id
    scene.healthy_until_now()
    scene.cloud.set_latency("snapshot", 3600)
    said = ask_again(lambda: controller.CreateSnapshot(create_snapshot("s1", made)))
    scene.of_claim(made)
    scene.cluster.lists[ATTACHMENTS] = []
    scene.cluster.lists[CONTENTS] = [snapshot_content("s1", made, error=said)]
    return said


def run_elsewhere(scene: Scene) -> str:
    controller = scene.controller()
    other = f"{scene.cloud.zones[1]}/{scene.cloud.add_instance(scene.cloud.zones[1])}"
    made = controller.CreateVolume(create_volume("data")).volume.volume_id
    scene.healthy_until_now()
    said = ask_again(lambda: controller.ControllerPublishVolume(publish(made, other)))
    scene.of_claim(made)
    scene.cluster.lists[ATTACHMENTS] = [attachment("pv", "n1", attached=False, error=said)]
    return said


def hang_a_disk(scene: Scene) -> str:
    tools = scene.folder / "tools"
    tools.mkdir()
    (tools / "mkfs.ext4").write_text("#!/bin/sh\nexec sleep 30\n")  # as on a disk that hangs
    (tools / "mkfs.ext4").chmod(0o755)
    disk, plugin = scene.disk(), scene.node(PATH=f"{tools}:{os.environ['PATH']}")
    plugin.NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    scene.healthy_until_now()
    request = node_requests.stage(
        disk.volume_id, scene.folder / "staging", node_requests.mount_capability()
    )
    (scene.folder / "staging").mkdir()
    waiting = threading.Thread(target=lambda: outcome(lambda: plugin.NodeStageVolume(request)))
    waiting.start()
    scene.running.callback(waiting.join)
    wait_until(lambda: scene.value("csi_exoblock_lock_oldest_seconds") > 0)
    return ""


def leave_a_volume(scene: Scene) -> str:
    make_volume(scene.cloud, "left")
    wait_until(lambda: not re.search(r" 0s ", scene.run("orphans")))
    scene.controller()  # it counts orphans when it starts
    wait_until(lambda: "csi_exoblock_orphan_oldest_seconds{" in scene.metrics())
    return ""


def fill_a_disk(scene: Scene) -> str:
    disk, plugin = scene.disk(), scene.node()
    plugin.NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    staging = scene.folder / "staging"
    staging.mkdir()
    plugin.NodeStageVolume(
        node_requests.stage(disk.volume_id, staging, node_requests.mount_capability())
    )
    unstage = node_requests.unstage(disk.volume_id, staging)
    scene.running.callback(lambda: plugin.NodeUnstageVolume(unstage))
    said = ""
    try:
        with (staging / "all").open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, os.statvfs(staging).f_bavail * 4096)
            while True:
                file.seek(0, os.SEEK_END)
                file.write(bytes(1 << 20))
    except OSError as error:
        said = str(error.strerror)
    stats = plugin.NodeGetVolumeStats(node_requests.stats(disk.volume_id, staging))
    (usage,) = (each for each in stats.usage if each.unit == csi_pb2.VolumeUsage.BYTES)
    labels = 'namespace="shop",persistentvolumeclaim="data"'
    kubelet = {"available": usage.available, "capacity": usage.total}
    scene.metrics = lambda: "".join(  # type: ignore[method-assign] # kubelet shows what it was told
        f"kubelet_volume_stats_{name}_bytes{{{labels}}} {value}\n"
        for name, value in kubelet.items()
    )
    return said


def ask_again(call: Callable[[], object]) -> str:
    """Ask twice, for only then something is asked for in vain; return the first answer."""
    said = message(call)
    message(call)
    return said


PLANTS: dict[Incident, Plant] = {
    incidents.WRONG_KEY: revoke_the_key,
    incidents.NO_RIGHT: take_a_right,
    incidents.QUOTA_FULL: use_up_the_quota,
    incidents.NODE_DEAD: lose_a_node,
    incidents.NOT_REGISTERED: forget_the_plugin,
    incidents.DETACH: let_a_detach_hang,
    incidents.GROWTH: enlarge_a_volume_in_use,
    incidents.SNAPSHOT: let_a_snapshot_hang,
    incidents.WRONG_ZONE: run_elsewhere,
    incidents.HUNG_DISK: hang_a_disk,
    incidents.ORPHAN: leave_a_volume,
    incidents.FULL: fill_a_disk,
}


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start("--latency", "50ms", "--local-instance", "none") as running:
        yield running


@pytest.fixture
def scene(cloud: SimulatorProcess, healthy: ApiServer, tmp_path: pathlib.Path) -> Iterator[Scene]:
    quotas = cloud.quotas()
    (tmp_path / "s").mkdir()
    with contextlib.ExitStack() as running:
        yield Scene(cloud, healthy, tmp_path / "s", running)
    cloud.set_latency("all", 0.05)
    for resource, limit in quotas.items():
        cloud.set_quota(resource, limit)


def printed(scene: Scene, incident: Incident, said: str) -> str:
    """Return what the operator's command prints."""
    if incident is incidents.FULL:  # the application's own words
        return said
    if incident is not incidents.HUNG_DISK:
        return scene.run(incident.command)
    played = FakeDisks(scene.folder / "played")  # a disk that never answers would hang the tests
    played.add("vdb", None)
    links = scene.folder / "links"  # udev made one when the disk still answered
    links.mkdir()
    (links / f"virtio-{serial_of(uuid4())}").symlink_to("../../vdb")
    host = inspected_host(
        NodeSettings(device_dir=links, kubelet_path=scene.folder),
        None,
        driver_name=DRIVER,
        timing=Timing().scaled(0.05),
        sysfs=played.sysfs,
    )
    checks = [each for each in DiskChecks(host).all() if each.name == "disks"]
    return doctor.as_text(doctor.run(checks), verbose=False)


@slow
@pytest.mark.root
@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda each: each.name)
def test_incident_is_seen_as_the_page_says(
    scene: Scene, incident: Incident, tmp_path: pathlib.Path
) -> None:  # N11, N20, N3
    said = PLANTS[incident](scene)

    assert shows(incident.prints, printed(scene, incident, said))
    if incident.alert:
        well, why = fires(
            tmp_path, incident.alert, incident.minutes, before=scene.before, after=scene.metrics()
        )
        assert well, why
    if said and incident is not incidents.FULL:
        assert [event for _, event in EVENTS if shows(event, said)], said


@slow
def test_alert_that_does_not_fire_is_noticed(tmp_path: pathlib.Path) -> None:
    gauge = "# TYPE csi_exoblock_lock_oldest_seconds gauge\ncsi_exoblock_lock_oldest_seconds"

    well, why = fires(
        tmp_path, "ExoblockLockTooOld", 6, before=f"{gauge} 0\n", after=f"{gauge} 0\n"
    )

    assert not well
    assert "ExoblockLockTooOld" in why


@pytest.mark.fast
def test_the_page_is_current() -> None:
    assert PAGE.read_text() == text()


@pytest.mark.fast
@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda each: each.name)
def test_the_page_that_explains_is_there(incident: Incident) -> None:
    target, _, anchor = incident.page[0].partition("#")

    assert not anchor or anchor in anchors(PAGE.parent / target)


@pytest.mark.fast
def test_each_incident_is_planted() -> None:
    assert PLANTS.keys() == {*INCIDENTS}
    assert len({re.sub("…", "", each.prints) for each in INCIDENTS}) == len(INCIDENTS)
