"""What the cloud leaves half made or half deleted: deleted where that is safe, else named (S3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import grpc
import pytest

from tests.controller.conftest import Controller, StartController
from tests.controller.requests import (
    create_snapshot,
    create_volume,
    delete_snapshot,
    delete_volume,
)
from tests.controller.waiting import as_a_sidecar_would
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

CREATE = "create-block-storage-volume"
DELETE = "delete-block-storage-volume"
SNAPSHOT = "create-block-storage-snapshot"
DELETE_SNAPSHOT = "delete-block-storage-snapshot"


@pytest.fixture(scope="module")
def hurried(start_controller: StartController) -> Controller:
    """A controller for which 90 s take 0.9 s."""
    hurried = Controller(start_controller("--time-scale", "0.01", "--api-timeout", "1000s").channel)
    as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume("first-of-the-hurried")))
    return hurried


def test_what_a_failed_create_leaves_half_made_is_deleted(
    hurried: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1
    cloud.set_mode("delete-halfway", "accepted")
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves="halfway", count=1)

    until_final(lambda: hurried.CreateVolume(create_volume(name)))

    assert "creating" not in [each["state"] for each in named(cloud.volumes(), name)]
    assert DELETE in cloud.operations_called()


def test_what_a_failed_create_leaves_for_good_is_named_with_the_remedy(
    hurried: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1, F11
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves="halfway", count=1)

    with refused(grpc.StatusCode.UNAVAILABLE, "could not be deleted yet", "ask Exoscale's support"):
        hurried.CreateVolume(create_volume(name))

    (left,) = named(cloud.volumes(), name)
    with refused(grpc.StatusCode.UNAVAILABLE, left["id"]):
        hurried.CreateVolume(create_volume(name))
    cloud.set_mode("delete-halfway", "accepted")
    with refused(grpc.StatusCode.INTERNAL, "failed: fault"):  # what the first call could not say
        hurried.CreateVolume(create_volume(name))
    assert named(cloud.volumes(), name) == []
    hurried.CreateVolume(create_volume(name))


@pytest.mark.parametrize("leaves", ["halfway", "error"])
def test_what_a_failed_create_left_is_deleted_once_more_if_its_deletion_fails(
    hurried: Controller, cloud: SimulatorProcess, name: str, leaves: str
) -> None:  # C1, S3: a later call joins the deletion, and takes it for no creation
    cloud.set_mode("delete-halfway", "accepted")
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves="error", count=1)
    cloud.add_fault(fault="time-out", operation=DELETE, calls=30, leaves=leaves, count=1)
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        hurried.CreateVolume(create_volume(name), timeout=0.3)

    with refused(grpc.StatusCode.INTERNAL, "failed: fault"):  # of the creation
        as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(name)))
    assert cloud.operations_called().count(DELETE) == 2
    assert named(cloud.volumes(), name) == []

    hurried.CreateVolume(create_volume(name))


def test_a_deletion_of_what_a_failed_create_left_is_joined(
    hurried: Controller, cloud: SimulatorProcess, name: str
) -> None:  # S3, C1
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves="error", count=1)
    cloud.add_fault(fault="hang", operation=DELETE, calls=30, count=1)
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        hurried.CreateVolume(create_volume(name), timeout=0.3)

    with refused(grpc.StatusCode.INTERNAL, "failed: fault"):
        as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(name)))

    assert cloud.operations_called().count(DELETE) == 1
    assert named(cloud.volumes(), name) == []


def test_what_another_process_left_half_made_is_named_and_not_deleted(
    hurried: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S3: it may be made yet
    cloud.set_mode("delete-halfway", "accepted")
    zone, _, id = volume.partition("/")
    cloud.set_volume_state(zone, id, "creating")

    with refused(grpc.StatusCode.UNAVAILABLE, id, "stays creating", "ask Exoscale's support"):
        hurried.CreateVolume(create_volume(f"{name}-volume"))

    assert DELETE not in cloud.operations_called()


@pytest.mark.parametrize("answer", ["accepted", "refused"])
def test_a_volume_that_stays_deleting_is_deleted_once_more(
    hurried: Controller, cloud: SimulatorProcess, volume: str, answer: str
) -> None:  # S3
    cloud.set_mode("delete-halfway", answer)
    cloud.add_fault(fault="fail", operation=DELETE, reason="fault", leaves="halfway", count=1)

    if answer == "accepted":
        as_a_sidecar_would(lambda: hurried.DeleteVolume(delete_volume(volume)))
    else:
        with refused(grpc.StatusCode.UNAVAILABLE, volume, "stays deleting", "Exoscale's support"):
            hurried.DeleteVolume(delete_volume(volume))

    assert (volume in ids(cloud.volumes())) == (answer == "refused")


def test_a_volume_of_another_cluster_that_stays_deleting_is_left_alone(
    start_controller: StartController, hurried: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D12
    cloud.set_mode("delete-halfway", "accepted")
    other = Controller(start_controller("--cluster-id", "another").channel)
    volume = as_a_sidecar_would(lambda: other.CreateVolume(create_volume(name))).volume.volume_id
    zone, _, id = volume.partition("/")
    cloud.set_volume_state(zone, id, "deleting")
    cloud.clear_calls()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "another"):
        as_a_sidecar_would(lambda: hurried.DeleteVolume(delete_volume(volume)))

    assert DELETE not in cloud.operations_called()


def test_what_a_failed_snapshot_leaves_half_made_is_deleted(
    hurried: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C1
    cloud.set_mode("delete-halfway", "accepted")
    cloud.set_mode("snapshot-attached", "free")  # else the volume stays snapshotting too
    cloud.add_fault(fault="fail", operation=SNAPSHOT, reason="fault", leaves="halfway", count=1)

    until_final(lambda: hurried.CreateSnapshot(create_snapshot(name, volume)))

    assert "creating" not in [each["state"] for each in named(cloud.snapshots(), name)]
    assert DELETE_SNAPSHOT in cloud.operations_called()


def test_a_snapshot_that_stays_creating_is_named_with_the_remedy(
    hurried: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18
    snapshot = as_a_sidecar_would(
        lambda: hurried.CreateSnapshot(create_snapshot(name, volume))
    ).snapshot.snapshot_id
    zone, _, id = snapshot.partition("/")
    cloud.set_snapshot_state(zone, id, "creating")

    with refused(grpc.StatusCode.UNAVAILABLE, id, "stays creating", "ask Exoscale's support"):
        hurried.CreateSnapshot(create_snapshot(name, volume))


@pytest.mark.parametrize("answer", ["accepted", "refused"])
def test_a_snapshot_that_stays_destroying_is_deleted_once_more(
    hurried: Controller, cloud: SimulatorProcess, volume: str, name: str, answer: str
) -> None:  # S18
    snapshot = as_a_sidecar_would(
        lambda: hurried.CreateSnapshot(create_snapshot(name, volume))
    ).snapshot.snapshot_id
    cloud.set_mode("delete-halfway", answer)
    rule = {"fault": "fail", "reason": "fault", "leaves": "halfway", "count": 1}
    cloud.add_fault(operation=DELETE_SNAPSHOT, **rule)

    if answer == "accepted":
        as_a_sidecar_would(lambda: hurried.DeleteSnapshot(delete_snapshot(snapshot)))
    else:
        with refused(grpc.StatusCode.UNAVAILABLE, snapshot, "stays destroying"):
            hurried.DeleteSnapshot(delete_snapshot(snapshot))

    assert (snapshot in ids(cloud.snapshots())) == (answer == "refused")


def until_final(call: Callable[[], object]) -> None:
    """Repeat a call until it is answered for good.

    The call in which 90 s are over says that the creation failed; a later one creates again.
    """
    try:
        as_a_sidecar_would(call)
    except grpc.RpcError as error:
        if cast(grpc.Call, error).code() is not grpc.StatusCode.INTERNAL:
            raise


def named(things: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [each for each in things if each["name"] == name]


def ids(things: list[dict[str, Any]]) -> list[str]:
    return [f"{each['zone']}/{each['id']}" for each in things]
