"""S9: what others have attached to the instance makes the limit smaller, and nothing else does."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.apiserver.server import ApiServer, Hang, Object, Status
from tests.node.conftest import MakeDisk, Volume
from tests.node.disks import Disk
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

DRIVER = "exoblock.csi.exoscale.com"
NODE = "/api/v1/nodes/here"
# A minute for Kubernetes' answer, and three for a list that comes later than the disk.
PATIENT = ("--time-scale", "20")

StartNode = Callable[..., DriverProcess]


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[ApiServer]:
    (tmp_path / "cluster").mkdir()
    with ApiServer(tmp_path / "cluster") as running:
        running.objects[NODE] = {"metadata": {"name": "here"}, "spec": {}, "status": {}}
        yield running


@pytest.fixture
def links(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the test's own disks are linked: others' disks would be foreign ones."""
    return tmp_path / "by-id"


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def start(
    start_node: StartNode, server: ApiServer, links: pathlib.Path, endpoint: Endpoint
) -> StartNode:
    """Start a node plugin in the cluster that sees the test's disks alone."""
    links.mkdir()

    def start(*flags: str, **environment: str) -> DriverProcess:
        return start_node(
            "--device-dir",
            str(links),
            *endpoint.flags,
            *flags,
            **{**server.environment, "KUBE_NODE_NAME": "here", **environment},
        )

    return start


@pytest.fixture
def attach(make_disk: MakeDisk, links: pathlib.Path) -> Callable[[], Disk]:
    """Attach disks that the driver sees."""

    def attach() -> Disk:
        disk = make_disk()
        disk.link = links / disk.link.name
        disk.attach()
        return disk

    return attach


def limit(node: DriverProcess) -> int:
    """Return how many volumes kubelet is told."""
    return (
        csi_pb2_grpc.NodeStub(node.channel)
        .NodeGetInfo(csi_pb2.NodeGetInfoRequest())
        .max_volumes_per_node
    )


def attached(*disks: Disk, driver: str = DRIVER) -> Object:
    """Return a Node's status that lists disks as attached."""
    names = [f"kubernetes.io/csi/{driver}^{disk.volume_id}" for disk in disks]
    return {"volumesAttached": [{"name": each, "devicePath": ""} for each in names]}


@pytest.mark.parametrize(("foreign", "left"), [(0, 5), (2, 3), (5, 1), (9, 1)])
def test_foreign_volumes_are_subtracted_and_never_leave_nothing(
    server: ApiServer, start: StartNode, attach: Callable[[], Disk], endpoint: Endpoint,
    foreign: int, left: int,
) -> None:  # S9  # fmt: skip
    for _ in range(foreign):
        attach()

    node = start(*PATIENT)

    assert limit(node) == left
    assert endpoint.value("csi_exoblock_attach_limit") == left
    assert endpoint.value("csi_exoblock_foreign_attachments") == foreign
    assert endpoint.value("csi_exoblock_free_slots") == max(0, 5 - foreign)


def test_the_drivers_own_volumes_are_none_of_them(
    server: ApiServer, start: StartNode, attach: Callable[[], Disk]
) -> None:  # S9: after a reboot nothing is staged yet
    own, wanted, others, _ = attach(), attach(), attach(), attach()
    status = attached(own)
    status["volumesAttached"] += attached(others, driver="other.csi.example.com")["volumesAttached"]
    status["volumesAttached"] += [{"name": "kubernetes.io/aws-ebs/x"}, {"name": 7}, None]
    status["volumesInUse"] = [f"kubernetes.io/csi/{DRIVER}^{wanted.volume_id}", 7]
    server.objects[NODE]["status"] = status

    node = start("--reserved-volume-attachments", "1", *PATIENT)

    assert limit(node) == 5 - 1 - 2


def test_a_volume_that_another_driver_has_mounted_for_kubelet_is_foreign(
    server: ApiServer,
    start: StartNode,
    attach: Callable[[], Disk],
    make_volume: Callable[..., Volume],
) -> None:  # S9, F8: the vendor's driver beside this one
    disk = attach()
    server.objects[NODE]["status"] = attached(disk, driver="csi.exoscale.com")
    node = start(*PATIENT)
    volume = make_volume(disk, node)

    volume.stage()  # as the other driver would
    mounted = limit(node)
    volume.unstage()

    assert (mounted, limit(node)) == (4, 4)


def test_what_is_listed_needs_no_question(
    server: ApiServer,
    start: StartNode,
    attach: Callable[[], Disk],
    make_volume: Callable[..., Volume],
) -> None:  # S9: an API server with a thousand nodes
    node = start("--taint-removal", "false", *PATIENT)
    volume = make_volume(attach(), node)
    server.objects[NODE]["status"] = attached(volume.disk)
    volume.stage()
    assert limit(node) == 5
    asked = server.count("GET", NODE)

    for _ in range(5):
        assert limit(node) == 5

    assert server.count("GET", NODE) == asked
    volume.unstage()


def test_a_volume_that_leaves_is_not_foreign(
    server: ApiServer,
    start: StartNode,
    attach: Callable[[], Disk],
    make_volume: Callable[..., Volume],
) -> None:  # S9: Kubernetes' list forgets it before the cloud detaches it
    node = start(*PATIENT)
    volume = make_volume(attach(), node)
    server.objects[NODE]["status"] = attached(volume.disk)
    volume.stage()
    assert limit(node) == 5

    volume.unstage()
    server.objects[NODE]["status"] = {}

    assert limit(node) == 5
    asked = server.count("GET", NODE)
    assert limit(node) == 5
    assert server.count("GET", NODE) == asked


def test_a_volume_that_has_just_come_is_foreign_only_if_it_stays_unlisted(
    server: ApiServer, start: StartNode, attach: Callable[[], Disk]
) -> None:  # S9: Kubernetes' list learns of it once it is attached
    node = start("--time-scale", "4")
    assert limit(node) == 5

    late = attach()

    assert limit(node) == 5  # for forty seconds at this time scale
    server.objects[NODE]["status"] = attached(late)
    assert limit(node) == 5
    attach()
    wait_until(lambda: limit(node) == 4)


def test_the_count_is_kept_current_without_a_question(
    server: ApiServer, start: StartNode, attach: Callable[[], Disk], endpoint: Endpoint
) -> None:  # S9, N3: kubelets that ask only once
    start("--time-scale", "0.1")

    disk = attach()

    wait_until(lambda: endpoint.value("csi_exoblock_foreign_attachments") == 1)
    wait_until(lambda: endpoint.value("csi_exoblock_attach_limit") == 4)
    disk.link.unlink()
    wait_until(lambda: endpoint.value("csi_exoblock_foreign_attachments") == 0)


@pytest.mark.parametrize("step", [Status(503), Hang()], ids=["503", "hang"])
def test_an_api_server_that_is_away_holds_up_nothing_and_the_last_count_stands(
    server: ApiServer, start: StartNode, attach: Callable[[], Disk], step: Status | Hang
) -> None:  # S9, S10
    foreign = attach()
    node = start("--time-scale", "1")
    assert limit(node) == 4

    server.always(NODE, step)

    assert limit(node) == 4
    foreign.link.unlink()
    wait_until(lambda: limit(node) == 5)


def test_before_the_first_answer_nothing_counts(
    server: ApiServer, start: StartNode, attach: Callable[[], Disk]
) -> None:  # S9
    attach()
    server.always(NODE, Status(503))
    node = start()
    assert limit(node) == 5

    server.always(NODE, None)

    wait_until(lambda: limit(node) == 4)


def test_outside_of_a_cluster_the_limit_is_that_of_the_flag(
    server: ApiServer, start: StartNode, attach: Callable[[], Disk], endpoint: Endpoint
) -> None:  # S9
    attach()

    node = start(KUBERNETES_SERVICE_HOST="")

    assert limit(node) == 5
    assert endpoint.value("csi_exoblock_foreign_attachments") == 1
    assert server.received == []
