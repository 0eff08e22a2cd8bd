"""What a node's metrics tell, and that they are those of the table (F7)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import grpc
import pytest

from tests.node.conftest import MakeDisk, Volume
from tests.node.disks import Disk, run
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.grpc_errors import refused
from tests.support.metrics import documented, families, ids
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

UNWELL = "csi_exoblock_unhealthy_volumes"
SHUT_DOWN = {"status": "INACCESSIBLE", "reason": "FilesystemShutDown"}
API_ERROR = {"status": "INACCESSIBLE", "reason": "ApiError"}
NEVER = {"csi_exoblock_unexpected_errors_total"}  # only a fault of the driver would count


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def watched(
    start_node: Callable[..., DriverProcess], endpoint: Endpoint, paths: pathlib.Path
) -> DriverProcess:
    """A node whose kubelet works in the test's own folder."""
    return start_node(
        *endpoint.flags,
        "--kubelet-path",
        str(paths),
        "--volume-attach-limit",
        "7",
        "--reserved-volume-attachments",
        "2",
    )


@pytest.fixture
def volume(make_volume: Callable[..., Volume], watched: DriverProcess, disk: Disk) -> Volume:
    return make_volume(disk, watched)


def test_the_metrics_are_those_of_the_table(
    volume: Volume, make_volume: Callable[..., Volume], make_disk: MakeDisk,
    watched: DriverProcess, endpoint: Endpoint,
) -> None:  # fmt: skip
    full = make_volume(make_disk(), watched)
    full.disk.write(0, b"data")
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        full.stage()
    shut_down(volume)
    promised = {
        name: family
        for name, (family, whose) in documented().items()
        if whose in ("both", "node") and name not in NEVER
    }

    seen = endpoint.scrape()
    assert families(seen) == promised
    assert ids(seen) == set()
    assert endpoint.value("csi_exoblock_format_refused_total", reason="not-zeroed") == 1
    assert endpoint.value("csi_exoblock_device_link_repaired_total") == 0


def test_slots_are_counted_and_those_that_others_take(
    volume: Volume, make_disk: MakeDisk, endpoint: Endpoint
) -> None:  # N3, S9
    make_disk()
    volume.stage()

    assert endpoint.value("csi_exoblock_attach_limit") == 5
    assert endpoint.value("csi_exoblock_attached_volumes") == 2
    assert endpoint.value("csi_exoblock_free_slots") == 3
    assert endpoint.value("csi_exoblock_foreign_attachments") == 1


def test_a_volume_is_unwell_until_it_is_found_well(volume: Volume, endpoint: Endpoint) -> None:
    shut_down(volume)
    unwell = endpoint.value(UNWELL, **SHUT_DOWN)
    volume.unstage()
    volume.stage("xfs")
    ask_for_health(volume)

    assert unwell == 1
    assert endpoint.value(UNWELL, **SHUT_DOWN) == 0


def test_what_ails_in_the_cloud_and_on_the_node_is_counted_beside_each_other(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    endpoint: Endpoint,
) -> None:  # one process may be both
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as cloud:
        zone = cloud.zones[0]
        cloud.add_volumes(zone, 1)
        cloud.set_volume_state(zone, cloud.volumes()[0]["id"], "error")
        flags = (*endpoint.flags, "--api-endpoint", cloud.api_endpoint)
        both = start_node(*flags, command="all", **cloud.environment)
        wait_until(lambda: endpoint.value(UNWELL, **API_ERROR) == 1)

        shut_down(make_volume(disk, both))

        assert endpoint.value(UNWELL, **SHUT_DOWN) == 1
        assert endpoint.value(UNWELL, **API_ERROR) == 1


def shut_down(volume: Volume) -> None:
    """Have the file system die, and kubelet ask about it."""
    volume.stage("xfs")
    run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))
    ask_for_health(volume)


def ask_for_health(volume: Volume) -> None:
    volume.health(staging=volume.staging)
