"""DeleteVolume: never a volume in use, and gone when it says so (D12)."""

from __future__ import annotations

import json

import grpc
import pytest

from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, ids
from tests.controller.requests import (
    absent_id,
    create_snapshot,
    create_volume,
    delete_snapshot,
    delete_volume,
    publish,
)
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

GET = "get-block-storage-volume"
DELETE = "delete-block-storage-volume"
DELETE_SNAPSHOT = "delete-block-storage-snapshot"
DETACH = "detach-block-storage-volume"
LIST = "list-block-storage-volumes"
LIST_SNAPSHOTS = "list-block-storage-snapshots"
POLL = "get-operation"


def test_delete_costs_a_get_a_delete_and_polls(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # S20
    cloud.clear_calls()

    controller.DeleteVolume(delete_volume(volume))

    called = cloud.operations_called()
    assert called[:2] == [GET, DELETE]
    assert set(called[2:]) <= {POLL}
    assert volume not in ids(cloud)


def test_a_delete_that_failed_with_not_found_has_not_deleted_what_is_there(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S4, C6: the cloud misses a part of it; Kubernetes would forget it, and it is billed
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    cloud.add_fault(fault="fail", operation=DELETE_SNAPSHOT, reason="not-found", count=1)
    cloud.add_fault(fault="fail", operation=DELETE, reason="not-found", count=1)

    with refused(grpc.StatusCode.UNAVAILABLE, "not-found", "still there"):
        controller.DeleteSnapshot(delete_snapshot(snapshot))
    controller.DeleteSnapshot(delete_snapshot(snapshot))
    with refused(grpc.StatusCode.UNAVAILABLE, "not-found", "still there"):
        controller.DeleteVolume(delete_volume(volume))
    assert volume in ids(cloud)
    controller.DeleteVolume(delete_volume(volume))

    assert volume not in ids(cloud)
    assert cloud.snapshots() == []


def test_delete_repeated_is_done(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    controller.DeleteVolume(delete_volume(volume))
    cloud.clear_calls()

    controller.DeleteVolume(delete_volume(volume))

    # The list confirms the 404 (section 7).
    assert cloud.operations_called() == [GET, LIST, LIST_SNAPSHOTS]  # N6


def test_an_answer_about_another_volume_does_not_delete_that(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # D12, F18: a cache or a proxy can mix up answers
    other = controller.CreateVolume(create_volume(name)).volume.volume_id
    body = json.dumps({"id": other.split("/")[1], "state": "detached"})
    cloud.add_fault(fault="garbage", operation=GET, status=200, body=body, count=1)

    controller.DeleteVolume(delete_volume(volume))

    assert volume not in ids(cloud)
    assert other in ids(cloud)


@pytest.mark.parametrize("nonsense", ["x", "ch-gva-2/", "ch-gva-2/not-a-uuid", "../etc/passwd"])
def test_an_id_that_is_none_is_gone_already(
    controller: Controller, cloud: SimulatorProcess, nonsense: str
) -> None:  # D12
    controller.DeleteVolume(delete_volume(nonsense))

    assert cloud.operations_called() == []


def test_a_volume_that_never_was_is_gone_already(
    controller: Controller, cloud: SimulatorProcess
) -> None:  # N6: who deleted it may have died before it deleted what clones left
    controller.DeleteVolume(delete_volume(absent_id(cloud.zones[0])))

    assert cloud.operations_called() == [GET, LIST, LIST_SNAPSHOTS]


@pytest.mark.parametrize("answer", ["refused", "accepted"])
def test_an_attached_volume_is_neither_deleted_nor_detached(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, answer: str
) -> None:  # D12: whether the API itself would refuse is not known
    cloud.set_mode("delete-attached", answer)
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.clear_calls()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, node.split("/")[1], volume):
        controller.DeleteVolume(delete_volume(volume))

    assert volume in ids(cloud)
    assert not {DELETE, DETACH} & set(cloud.operations_called())


@pytest.mark.parametrize("state", ["attaching", "attached", "detaching"])
def test_a_volume_that_is_in_use_by_its_state_alone_is_kept(
    controller: Controller, cloud: SimulatorProcess, volume: str, state: str
) -> None:  # D12: the API may not say yet, or not any more, which instance has it
    zone, uuid = volume.split("/")
    cloud.set_volume_state(zone, uuid, state)
    cloud.clear_calls()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, volume, state):
        controller.DeleteVolume(delete_volume(volume))

    assert DELETE not in cloud.operations_called()


def test_a_broken_volume_that_an_instance_has_is_kept(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D12: whatever its state is, somebody's pod may read it
    zone, uuid = volume.split("/")
    cloud.set_volume_state(zone, uuid, "error", instance=node.split("/")[1])
    cloud.clear_calls()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, volume, node.split("/")[1]):
        controller.DeleteVolume(delete_volume(volume))

    assert DELETE not in cloud.operations_called()


@pytest.mark.parametrize("status", ["400", "409"])
def test_a_volume_that_is_busy_is_deleted_once_that_has_ended(
    controller: Controller, cloud: SimulatorProcess, volume: str, status: str
) -> None:  # S4: INVALID_ARGUMENT would say that it never can be
    zone, uuid = volume.split("/")
    cloud.set_volume_state(zone, uuid, "snapshotting")
    cloud.add_fault(fault="refuse", operation=DELETE, status=int(status), count=1)

    with refused(grpc.StatusCode.ABORTED, volume, "snapshotting"):
        controller.DeleteVolume(delete_volume(volume))
    cloud.set_volume_state(zone, uuid, "detached")
    controller.DeleteVolume(delete_volume(volume))

    assert volume not in ids(cloud)


def test_a_protected_volume_is_kept(
    controller: Controller, cloud: SimulatorProcess, volume: str, administrator: Administrator
) -> None:  # D12
    administrator.label_volume(volume, {"exoblock/protect": "yes"})

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "protects"):
        controller.DeleteVolume(delete_volume(volume))

    assert volume in ids(cloud)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delete_whose_answer_is_lost_converges(
    controller: Controller, cloud: SimulatorProcess, volume: str, when: str
) -> None:
    cloud.add_fault(fault="drop", operation=DELETE, when=when, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.DeleteVolume(delete_volume(volume))
    controller.DeleteVolume(delete_volume(volume))

    assert volume not in ids(cloud)


@pytest.mark.parametrize("answer", ["accepted", "refused"])
def test_a_volume_with_snapshots_goes_now_or_once_they_are_gone(
    controller: Controller, cloud: SimulatorProcess, name: str, volume: str, answer: str
) -> None:  # S19
    cloud.set_mode("delete-with-snapshots", answer)
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id

    if answer == "refused":
        with refused(grpc.StatusCode.FAILED_PRECONDITION, snapshot.split("/")[1]):
            controller.DeleteVolume(delete_volume(volume))
        controller.DeleteSnapshot(delete_snapshot(snapshot))
    controller.DeleteVolume(delete_volume(volume))

    assert volume not in ids(cloud)


def test_a_refused_key_keeps_a_volume_though_it_has_snapshots(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S4, F11: to delete the snapshots would not help
    controller.CreateSnapshot(create_snapshot(name, volume))
    cloud.add_fault(fault="refuse", operation=DELETE, status=403)

    with refused(grpc.StatusCode.PERMISSION_DENIED, volume, "403", "check the API key"):
        controller.DeleteVolume(delete_volume(volume))


def test_the_snapshots_that_keep_a_volume_are_all_named(
    controller: Controller, cloud: SimulatorProcess, name: str, volume: str
) -> None:  # S19, F11: as many as a volume may have
    cloud.set_mode("delete-with-snapshots", "refused")
    requests = [create_snapshot(f"{name}-{number}", volume) for number in range(20)]
    snapshots = [controller.CreateSnapshot(each).snapshot.snapshot_id for each in requests]

    uuids = (each.split("/")[1] for each in snapshots)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "deleted once they are", *uuids):
        controller.DeleteVolume(delete_volume(volume))
