"""What a controller's metrics tell, and that they are those of the table (F7, N3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller, StartController
from tests.controller.requests import create_volume, expand, publish, unpublish
from tests.controller.waiting import wait_until_called, wait_until_nobody_calls
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.grpc_errors import refused
from tests.support.metrics import documented, families, ids
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

DETACH = "detach-block-storage-volume"
GROWING = "csi_exoblock_resize_pending_volumes"
LOCK = "csi_exoblock_lock_oldest_seconds"
DETACHING = "csi_exoblock_detach_pending_oldest_seconds"


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def watched(
    start_controller: StartController, cloud: SimulatorProcess, endpoint: Endpoint
) -> Iterator[DriverProcess]:
    """A controller that has collected metrics once, and will not again within the test."""
    started = start_controller(*endpoint.flags)
    wait_until_called(cloud, "list-quotas")
    wait_until(lambda: endpoint.value(GROWING) is not None)
    yield started
    started.stop()


@pytest.fixture
def growing(controller: Controller, volume: str, node: str) -> str:
    """A volume that waits for its next attach to grow."""
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 3))
    return volume


@pytest.fixture
def unwell(cloud: SimulatorProcess, controller: Controller, name: str) -> str:
    """A volume in state error."""
    made = controller.CreateVolume(create_volume(f"{name}-unwell")).volume.volume_id
    zone, _, uuid = made.partition("/")
    cloud.set_volume_state(zone, uuid, "error")
    return made


@pytest.fixture
def foreign(cloud: SimulatorProcess, controller: Controller, name: str) -> str:
    """Another cluster's volume in state error."""
    made = controller.CreateVolume(create_volume(f"{name}-foreign")).volume.volume_id
    zone, _, uuid = made.partition("/")
    cloud.relabel_volume(zone, uuid, {"exoblock/cluster-id": "another"})
    cloud.set_volume_state(zone, uuid, "error")
    return made


def test_the_metrics_are_those_of_the_table(
    growing: str,
    unwell: str,
    node: str,
    watched: DriverProcess,
    cloud: SimulatorProcess,
    endpoint: Endpoint,
) -> None:
    cloud.add_fault(fault="refuse", status=429, operation=DETACH, count=1)
    Controller(watched.channel).ControllerUnpublishVolume(unpublish(growing, node))
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        Controller(watched.channel).CreateVolume(csi_pb2.CreateVolumeRequest())
    promised = {
        name: family
        for name, (family, whose) in documented().items()
        if whose in ("both", "controller") and name not in NEVER
    }

    wait_until(lambda: endpoint.value(UNWELL, **API_ERROR) is not None)

    seen = endpoint.scrape()
    assert families(seen) == promised
    assert ids(seen) == set()


UNWELL = "csi_exoblock_unhealthy_volumes"
API_ERROR = {"status": "INACCESSIBLE", "reason": "ApiError"}
NEVER = {"csi_exoblock_unexpected_errors_total"}  # only a fault of the driver would count


def test_growth_that_waits_is_counted_and_its_age_shown(
    growing: str, watched: DriverProcess, endpoint: Endpoint
) -> None:  # N3
    wait_until(lambda: (endpoint.value(GROWING) or 0) >= 1)  # others may have left theirs

    before = endpoint.value("csi_exoblock_resize_pending_oldest_seconds") or 0
    after = endpoint.value("csi_exoblock_resize_pending_oldest_seconds") or 0

    assert 0 < before < after


def test_a_volume_in_state_error_is_counted(
    unwell: str, foreign: str, watched: DriverProcess, cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N7: once, by the cluster whose it is
    broken = [
        volume
        for volume in cloud.volumes()
        if volume["state"] == "error" and volume["id"] not in foreign
    ]

    wait_until(lambda: (endpoint.value(UNWELL, **API_ERROR) or 0) >= len(broken))
    assert endpoint.value(UNWELL, **API_ERROR) == len(broken)


def test_the_quota_is_shown_with_its_use(
    volume: str, cloud: SimulatorProcess, start_controller: StartController, endpoint: Endpoint
) -> None:  # N3
    cloud.set_quota("block-storage-snapshot", -1)

    started = start_controller(*endpoint.flags)
    wait_until(lambda: quota(endpoint, "usage", "block-storage-volume") is not None)

    assert quota(endpoint, "usage", "block-storage-volume") == len(cloud.volumes())
    assert quota(endpoint, "usage", "block-storage") == sum(
        volume["size"] for volume in cloud.volumes()
    )
    assert (
        quota(endpoint, "limit", "block-storage-volume") == cloud.quotas()["block-storage-volume"]
    )
    assert quota(endpoint, "limit", "block-storage-snapshot") == math.inf
    started.stop()  # or it reads the quotas again, in the next tests


def test_nothing_is_read_for_metrics_that_nobody_can_see(
    driver: DriverProcess, cloud: SimulatorProcess, start_controller: StartController
) -> None:  # S20
    cloud.clear_calls()
    start_controller()

    wait_until_called(cloud, "list-block-storage-snapshots", times=len(cloud.zones))

    assert "list-quotas" not in cloud.operations_called()


def test_a_scrape_calls_nobody(
    watched: DriverProcess, cloud: SimulatorProcess, endpoint: Endpoint
) -> None:  # N3: quotas are never in a scrape's way
    wait_until(lambda: quota(endpoint, "usage", "block-storage") is not None)
    wait_until_nobody_calls(cloud)
    cloud.clear_calls()

    for _ in range(5):
        endpoint.scrape()

    assert cloud.operations_called() == []


def test_a_lock_and_its_age_are_seen(
    watched: DriverProcess, cloud: SimulatorProcess, name: str, endpoint: Endpoint
) -> None:
    hanging = cloud.add_fault(fault="hang", operation="create-block-storage-volume")
    assert endpoint.value(LOCK) == 0

    creating = Controller(watched.channel).CreateVolume.future(create_volume(name))
    wait_until(lambda: (endpoint.value(LOCK) or 0) > 0)
    creating.cancel()
    wait_until(lambda: endpoint.value(LOCK) == 0)

    cloud.remove_fault(hanging)


def test_a_detach_is_pending_from_the_first_call_to_the_one_that_ends_it(
    watched: DriverProcess,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    endpoint: Endpoint,
) -> None:
    controller = Controller(watched.channel)
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="refuse", status=409, operation=DETACH, count=2)
    assert endpoint.value(DETACHING) == 0

    ages = []
    for _ in range(2):
        with pytest.raises(grpc.RpcError):
            controller.ControllerUnpublishVolume(unpublish(volume, node))
        ages.append(endpoint.value(DETACHING) or 0)
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    assert 0 < ages[0] < ages[1]
    assert endpoint.value(DETACHING) == 0


def test_a_detach_that_nobody_asks_for_any_more_is_not_pending(
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    endpoint: Endpoint,
) -> None:
    flags = ("--time-scale", "0.002", "--detach-timeout", "120s")  # given up after 1.8 s
    controller = Controller(start_controller(*endpoint.flags, *flags).channel)
    cloud.add_fault(fault="refuse", status=503)

    wait_until_forgotten(
        lambda: controller.ControllerUnpublishVolume(unpublish(volume, node)),
        lambda: endpoint.value(DETACHING),
    )


def in_vain(endpoint: Endpoint, method: str) -> float | None:
    name = f"/csi.v1.Controller/{method}"
    return endpoint.value("csi_exoblock_failing_oldest_seconds", method_name=name)


def test_a_call_is_in_vain_from_its_first_failure_to_the_last(
    watched: DriverProcess, cloud: SimulatorProcess, name: str, endpoint: Endpoint
) -> None:  # N3
    controller = Controller(watched.channel)
    cloud.add_fault(fault="refuse", status=403, operation="create-block-storage-volume", count=3)
    assert in_vain(endpoint, "CreateVolume") is None

    ages = []
    for _ in range(3):
        with pytest.raises(grpc.RpcError):
            controller.CreateVolume(create_volume(name))
        ages.append(in_vain(endpoint, "CreateVolume") or 0)
    # What succeeds says nothing about what doesn't.
    controller.CreateVolume(create_volume(f"{name}-other"))
    meanwhile = in_vain(endpoint, "CreateVolume")
    controller.CreateVolume(create_volume(name))

    assert 0 == ages[0] < ages[1] < ages[2] == meanwhile
    assert in_vain(endpoint, "CreateVolume") == 0


def test_what_nobody_asks_for_any_more_is_not_in_vain(
    start_controller: StartController, cloud: SimulatorProcess, name: str, endpoint: Endpoint
) -> None:  # N3
    hurried = start_controller(*endpoint.flags, "--time-scale", "0.002")  # forgotten after 1.8 s
    cloud.add_fault(fault="refuse", status=403, operation="create-block-storage-volume")

    wait_until_forgotten(
        lambda: Controller(hurried.channel).CreateVolume(create_volume(name)),
        lambda: in_vain(endpoint, "CreateVolume"),
    )


def wait_until_forgotten(ask: Callable[[], object], figure: Callable[[], float | None]) -> None:
    """Ask in vain until a figure of a hurried driver is more than 0; then wait until it is 0."""

    def is_seen() -> bool:
        with pytest.raises(grpc.RpcError):
            ask()
        return (figure() or 0) > 0

    wait_until(is_seen)
    wait_until(lambda: figure() == 0)


def quota(endpoint: Endpoint, what: str, resource: str) -> float | None:
    return endpoint.value(f"csi_exoblock_quota_{what}", resource=resource)


def test_a_call_is_counted_by_its_code(watched: DriverProcess, endpoint: Endpoint) -> None:
    with pytest.raises(grpc.RpcError):
        Controller(watched.channel).CreateVolume(csi_pb2.CreateVolumeRequest())

    count = endpoint.value(
        "csi_plugin_operations_seconds_count",
        driver_name="exoblock.csi.exoscale.com",
        method_name="/csi.v1.Controller/CreateVolume",
        grpc_status_code="InvalidArgument",
    )
    assert count == 1
