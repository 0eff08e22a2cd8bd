"""What was just made may not be shown yet: a 404 right after a create proves nothing (C1)."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from csi_exoblock.controller.labels import unmarked
from csi_exoblock.pb import csi_pb2
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
SNAPSHOT = "create-block-storage-snapshot"


@pytest.fixture(scope="module")
def patient(start_controller: StartController) -> Controller:
    """A controller that lives in the cloud's own time, in which something is shown after 4 s."""
    controller = Controller(start_controller("--time-scale", "1").channel)
    controller.CreateVolume(create_volume("first-of-the-patient"))
    return controller


@pytest.fixture
def lagging(cloud: SimulatorProcess) -> SimulatorProcess:
    """The cloud, of which neither a list nor a get shows what is newer than 4 s."""
    cloud.set_mode("list-lag", "yes")
    cloud.set_mode("get-lag", "yes")
    return cloud


def test_a_volume_that_is_not_shown_yet_is_not_made_again(
    patient: Controller, lagging: SimulatorProcess, name: str
) -> None:  # C1: the caller may have lost the first answer
    first = patient.CreateVolume(create_volume(name))

    assert patient.CreateVolume(create_volume(name)) == first
    assert lagging.operations_called().count(CREATE) == 1


def test_a_claim_that_moves_before_its_volume_is_shown_has_one_volume(
    patient: Controller, lagging: SimulatorProcess, name: str
) -> None:  # C3
    here, there = lagging.zones[:2]
    patient.CreateVolume(create_volume(name, zones=[here]))

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, here):
        patient.CreateVolume(create_volume(name, zones=[there]))

    assert len(volumes_named(lagging, name)) == 1


def test_a_copy_that_is_not_shown_yet_is_not_made_again(
    patient: Controller, lagging: SimulatorProcess, volume: str, name: str
) -> None:  # C1, S8: it is read to see its size
    snapshot = patient.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id

    as_a_sidecar_would(lambda: patient.CreateVolume(create_volume(name, snapshot_id=snapshot)))
    as_a_sidecar_would(lambda: patient.CreateVolume(clone(f"{name}-clone", volume)))

    assert len(volumes_named(lagging, name)) == 1
    assert len(volumes_named(lagging, f"{name}-clone")) == 1
    assert not [
        each for each in lagging.snapshots() if unmarked(each["name"]) == f"clone-{name}-clone"
    ]


def test_a_snapshot_that_is_not_shown_yet_is_not_taken_again(
    patient: Controller, lagging: SimulatorProcess, volume: str, name: str
) -> None:  # C1, S18
    first = as_a_sidecar_would(lambda: patient.CreateSnapshot(create_snapshot(name, volume)))

    assert patient.CreateSnapshot(create_snapshot(name, volume)) == first
    assert lagging.operations_called().count(SNAPSHOT) == 1


def test_a_users_snapshot_that_was_too_new_to_be_seen_is_no_temporary_one(
    patient: Controller,
    lagging: SimulatorProcess,
    volume: str,
    name: str,
) -> None:  # N6: it would be restored from and deleted, as if the lost creation had made it
    zone, uuid = volume.split("/")
    kept = lagging.add_snapshot(zone, uuid, f"clone-{name}")
    lagging.add_fault(fault="refuse", operation=SNAPSHOT, status=503, count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        patient.CreateVolume(clone(name, volume))

    with refused(grpc.StatusCode.ALREADY_EXISTS, kept):
        as_a_sidecar_would(lambda: patient.CreateVolume(clone(name, volume)))

    assert kept in [each["id"] for each in lagging.snapshots()]


def test_a_volume_that_is_deleted_before_it_is_shown_is_gone(
    patient: Controller, lagging: SimulatorProcess, name: str
) -> None:  # C1: OK without a call would leave it
    made = patient.CreateVolume(create_volume(name)).volume.volume_id

    patient.DeleteVolume(delete_volume(made))

    assert not volumes_named(lagging, name)


def test_a_snapshot_that_is_deleted_before_a_get_shows_it_is_gone(
    patient: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C1, S18: a list shows it already; OK without a call would leave it
    cloud.set_mode("get-lag", "yes")
    cloud.add_fault(fault="drop", operation=SNAPSHOT, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        patient.CreateSnapshot(create_snapshot(name, volume))
    request = create_snapshot(name, volume)
    found = as_a_sidecar_would(lambda: patient.CreateSnapshot(request)).snapshot.snapshot_id

    patient.DeleteSnapshot(delete_snapshot(found))

    assert not [each for each in cloud.snapshots() if each["name"] == name]


def test_a_failed_create_whose_rest_is_not_shown_yet_leaves_nothing(
    patient: Controller, lagging: SimulatorProcess, name: str
) -> None:  # C1
    lagging.add_fault(fault="fail", operation=CREATE, reason="fault", leaves="error", count=1)

    with refused(grpc.StatusCode.INTERNAL, "fault"):
        patient.CreateVolume(create_volume(name))

    assert not volumes_named(lagging, name)


@pytest.mark.parametrize("operations", ["readable", "denied"])
def test_what_is_shown_only_when_it_is_finished_is_not_made_again(
    start_controller: StartController, cloud: SimulatorProcess, name: str, operations: str
) -> None:  # C1, S3: an operation that is pending, or that nobody can read, may make it yet
    cloud.set_mode("unfinished", "hidden")
    cloud.set_mode("operations", operations)
    cloud.set_latency("create", 4.0)  # longer than the driver follows an operation, and settles
    scale = "0.01" if operations == "readable" else "0.1"
    flags = ("--time-scale", scale, "--api-timeout", "1000s")  # 10 s, or 100 s
    hurried = Controller(start_controller(*flags).channel)

    as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(name)))
    cloud.set_latency("create", 0.05)

    assert len(volumes_named(cloud, name)) == 1
    assert cloud.operations_called().count(CREATE) == 1


@pytest.mark.parametrize("kind", ["volume", "snapshot"])
def test_what_is_shown_only_when_it_is_finished_is_not_made_again_after_a_lost_answer(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str, kind: str
) -> None:  # C1: it takes longer than two lists without the name are apart
    cloud.set_mode("unfinished", "hidden")
    cloud.set_latency("create" if kind == "volume" else "snapshot", 2.0)
    fresh = Controller(start_controller().channel)  # it never saw anything that was being made
    cloud.clear_calls()  # those of its volume
    post = CREATE if kind == "volume" else SNAPSHOT
    cloud.add_fault(fault="drop", operation=post, when="after", count=1)

    if kind == "volume":
        as_a_sidecar_would(lambda: fresh.CreateVolume(create_volume(name)))
    else:
        as_a_sidecar_would(lambda: fresh.CreateSnapshot(create_snapshot(name, volume)))

    assert [each for each in cloud.operations_called() if each == post] == [post]


@pytest.mark.parametrize("leaves", ["nothing", "error"])
def test_a_failed_create_that_names_nothing_is_looked_for_by_name(
    controller: Controller, cloud: SimulatorProcess, name: str, leaves: str
) -> None:  # C1: final only when surely nothing is left, or what is left is named
    cloud.add_fault(
        fault="fail", operation=CREATE, reason="fault", leaves=leaves, reference=False, count=1
    )

    with refused(grpc.StatusCode.UNAVAILABLE, "outcome not known yet"):
        controller.CreateVolume(create_volume(name))

    left = volumes_named(cloud, name)
    code = grpc.StatusCode.ALREADY_EXISTS if left else grpc.StatusCode.INTERNAL
    with refused(code, *(each["id"] for each in left)):
        controller.CreateVolume(create_volume(name))
    assert cloud.operations_called().count(CREATE) == 1


def clone(name: str, source: str) -> csi_pb2.CreateVolumeRequest:
    request = create_volume(name)
    request.volume_content_source.volume.volume_id = source
    return request


def volumes_named(cloud: SimulatorProcess, name: str) -> list[dict[str, Any]]:
    """Return what the cloud really holds under a name."""
    return [volume for volume in cloud.volumes() if volume["name"] == name]
