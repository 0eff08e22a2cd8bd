"""A write that has to wait is sent only on a fresh read: the cloud has no conditional writes.

The zone refuses the write unread and asks for a pause. Meanwhile somebody else changes what the
driver had read before it (N10, D12, D3, S20).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, StartController, ids, truth
from tests.controller.requests import (
    create_snapshot,
    create_volume,
    delete_snapshot,
    delete_volume,
    modify,
    publish,
    unpublish,
)
from tests.controller.waiting import wait_until_called
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

GET = "get-block-storage-volume"
UPDATE = "update-block-storage-volume"
DELETE = "delete-block-storage-volume"
DETACH = "detach-block-storage-volume"
DELETE_SNAPSHOT = "delete-block-storage-snapshot"
UPDATE_SNAPSHOT = "update-block-storage-snapshot"
LIST_SNAPSHOTS = "list-block-storage-snapshots"
POLL = "get-operation"
# Longer than a read ever holds here: at one request a second, the slowest pace, that is 2 s.
PAUSE_SECONDS = 2.5
STORM = 60

CLUSTER = "cluster-7"

HeldBack = Callable[..., object]


@pytest.fixture(scope="module")
def cluster(start_controller: StartController) -> Controller:
    """A controller that knows the name of its cluster."""
    return Controller(start_controller("--cluster-id", CLUSTER).channel)


@pytest.fixture
def held_back(cloud: SimulatorProcess) -> HeldBack:
    """Have something happen while a call's write waits, because the zone gets too many.

    It waits until that has happened, or only once where what happens is such a write itself.
    """

    def run(
        write: str,
        call: Callable[[], object],
        happening: Callable[[], object],
        count: int | None = None,
    ) -> object:
        cloud.clear_calls()
        rule = cloud.add_fault(
            fault="refuse", operation=write, status=429, retry_after=PAUSE_SECONDS, count=count
        )
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(call)
            wait_until_called(cloud, write)
            happening()
            cloud.remove_fault(rule)  # usually before the write comes again
            return answer.result()

    return run


def test_a_label_that_comes_while_a_change_waits_stays(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    held_back: HeldBack,
    volume: str,
) -> None:  # N10
    held_back(
        UPDATE,
        lambda: controller.ControllerModifyVolume(modify(volume, labels="tier=gold")),
        lambda: administrator.label_volume(volume, {"exoblock/protect": "yes"}),
        count=1,
    )

    labels = truth(cloud, volume)["labels"]
    assert labels["exoblock/protect"] == "yes"
    assert labels["tier"] == "gold"


def test_a_label_that_a_snapshot_gets_while_a_repair_waits_stays(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    held_back: HeldBack,
    volume: str,
    name: str,
) -> None:  # C6, N10
    cloud.set_mode("create-labels", "dropped")

    held_back(
        UPDATE_SNAPSHOT,
        lambda: controller.CreateSnapshot(create_snapshot(name, volume)),
        lambda: administrator.label_snapshot(f"{cloud.zones[0]}/{_id(cloud, name)}", {"a": "b"}),
        count=1,
    )

    (labels,) = (each["labels"] for each in cloud.snapshots() if each["name"] == name)
    assert labels["a"] == "b"
    assert labels["exoblock/name"] == name


@pytest.mark.parametrize("what", ["volume", "snapshot"])
def test_the_rest_of_a_failed_creation_goes_though_its_deletion_waits(
    controller: Controller,
    cloud: SimulatorProcess,
    held_back: HeldBack,
    volume: str,
    name: str,
    what: str,
) -> (
    None
):  # C1: the same call answers, and finally, as it does where the deletion waits for nothing
    kind = f"block-storage-{what}"
    cloud.add_fault(fault="fail", operation=f"create-{kind}", reason="fault", leaves="error")
    create: dict[str, Callable[[], object]] = {
        "volume": lambda: controller.CreateVolume(create_volume(name)),
        "snapshot": lambda: controller.CreateSnapshot(create_snapshot(name, volume)),
    }

    with refused(grpc.StatusCode.INTERNAL, "fault"):
        held_back(f"delete-{kind}", create[what], lambda: None)

    assert name not in [each["name"] for each in (*cloud.volumes(), *cloud.snapshots())]


def test_the_rest_of_a_failed_creation_is_kept_once_it_is_protected(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    held_back: HeldBack,
    name: str,
) -> None:  # D12
    cloud.add_fault(
        fault="fail", operation="create-block-storage-volume", reason="fault", leaves="error"
    )

    def protect() -> None:
        (left,) = (each for each in cloud.volumes() if each["name"] == name)
        handle = f"{left['zone']}/{left['id']}"
        administrator.label_volume(handle, {"exoblock/protect": "yes"})

    with refused(grpc.StatusCode.UNAVAILABLE, "protects it"):
        held_back(DELETE, lambda: controller.CreateVolume(create_volume(name)), protect)

    assert name in [each["name"] for each in cloud.volumes()]


def test_a_volume_that_is_protected_while_its_deletion_waits_is_kept(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    held_back: HeldBack,
    volume: str,
) -> None:  # D12
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "protects it"):
        held_back(
            DELETE,
            lambda: controller.DeleteVolume(delete_volume(volume)),
            lambda: administrator.label_volume(volume, {"exoblock/protect": "yes"}),
        )

    assert volume in ids(cloud)


def test_a_snapshot_that_another_cluster_takes_over_while_its_deletion_waits_is_kept(
    cluster: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    held_back: HeldBack,
    volume: str,
    name: str,
) -> None:  # D12
    snapshot = cluster.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "cluster-8"):
        held_back(
            DELETE_SNAPSHOT,
            lambda: cluster.DeleteSnapshot(delete_snapshot(snapshot)),
            lambda: administrator.label_snapshot(snapshot, {"exoblock/cluster-id": "cluster-8"}),
        )

    assert _id(cloud, name) == snapshot.split("/")[1]


def test_a_detach_that_waits_never_takes_the_disk_from_the_next_node(
    controller: Controller,
    cloud: SimulatorProcess,
    held_back: HeldBack,
    volume: str,
    node: str,
) -> None:  # D3
    controller.ControllerPublishVolume(publish(volume, node))
    zone, uuid = volume.split("/")
    other = cloud.add_instance(zone)

    held_back(
        DETACH,
        lambda: controller.ControllerUnpublishVolume(unpublish(volume, node)),
        lambda: cloud.set_volume_state(zone, uuid, "attached", instance=other),
    )

    seen = truth(cloud, volume)
    assert (seen["state"], seen["instance"]["id"]) == ("attached", other)


def test_a_write_that_hardly_waits_needs_no_other_read(
    start_controller: StartController, cloud: SimulatorProcess, volume: str
) -> None:  # S20
    controller = Controller(start_controller("--time-scale", "1").channel)  # a read holds for 1 s
    wait_until_called(cloud, LIST_SNAPSHOTS, times=len(cloud.zones))  # it does once, as it starts
    cloud.clear_calls()
    cloud.add_fault(fault="refuse", operation=DELETE, status=429, count=1)

    controller.DeleteVolume(delete_volume(volume))

    called = cloud.operations_called()
    assert called[:3] == [GET, DELETE, DELETE]
    assert set(called[3:]) <= {POLL}


def test_a_storm_of_deletions_reads_again_only_after_refusals(
    controller: Controller, cloud: SimulatorProcess
) -> None:  # S20
    """A write that waited for the reads of all other calls would be too late each time."""
    zone = cloud.zones[0]
    cloud.add_volumes(zone, STORM, "storm-")
    storm = [f"{zone}/{each['id']}" for each in cloud.volumes() if each["name"][:6] == "storm-"]
    cloud.clear_calls()
    cloud.limit_calls(40.0)

    try:
        with ThreadPoolExecutor(STORM) as threads:
            for deleted in [
                threads.submit(controller.DeleteVolume, delete_volume(each)) for each in storm
            ]:
                deleted.result()
    finally:
        cloud.limit_calls(None)

    called = [(each.operation, each.status) for each in cloud.calls()]
    late = STORM // 2  # a busy machine wakes some of them too late
    assert STORM <= called.count((GET, 200)) <= STORM + called.count((DELETE, 429)) + late
    assert set(storm).isdisjoint(ids(cloud))


def _id(cloud: SimulatorProcess, snapshot: str) -> str:
    """Return the UUID of the snapshot of that name."""
    (found,) = (each["id"] for each in cloud.snapshots() if each["name"] == snapshot)
    return str(found)
