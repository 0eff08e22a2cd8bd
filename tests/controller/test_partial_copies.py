"""A copy whose operation failed is never handed out: content can be missing (S18, C1).

A state and a size prove a blank volume. They prove nothing about the content of a restored or
cloned volume, or of a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.controller.conftest import Controller
from tests.controller.requests import create_snapshot, create_volume
from tests.support.grpc_errors import outcome, refused
from tests.support.simulator_process import SimulatorProcess

CREATE, TAKE = "create-block-storage-volume", "create-block-storage-snapshot"

Make = Callable[[Controller, str, str], str]


def restore(controller: Controller, name: str, volume: str) -> str:
    taken = controller.CreateSnapshot(create_snapshot(f"{name}-source", volume)).snapshot
    request = create_volume(name, snapshot_id=taken.snapshot_id)
    return controller.CreateVolume(request).volume.volume_id


def clone(controller: Controller, name: str, volume: str) -> str:
    request = create_volume(name)
    request.volume_content_source.volume.volume_id = volume
    return controller.CreateVolume(request).volume.volume_id


def snapshot(controller: Controller, name: str, volume: str) -> str:
    return controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id


@pytest.mark.parametrize("reason", ["partial", "fault", "interrupted"])
@pytest.mark.parametrize(
    ("make", "operation"), [(restore, CREATE), (clone, CREATE), (snapshot, TAKE)]
)
def test_a_copy_that_failed_and_looks_whole_is_made_once_more(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    make: Make,
    operation: str,
    reason: str,
) -> None:
    cloud.add_fault(fault="fail", operation=operation, reason=reason, leaves="done", count=1)

    assert outcome(lambda: make(controller, name, volume))[0] in ("UNAVAILABLE", "INTERNAL")
    assert name not in names_in(cloud)
    made = make(controller, name, volume)

    assert [each for each in names_in(cloud) if each == name] == [name]
    assert made.split("/")[1] in ids_in(cloud)


def test_of_several_restores_at_once_each_failure_is_seen(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S20: a list that all of them share shows each of them detached
    taken = controller.CreateSnapshot(create_snapshot(f"{name}-source", volume)).snapshot
    cloud.set_latency("create", 0.5)
    cloud.add_fault(fault="fail", operation=CREATE, reason="partial", leaves="done", count=4)
    requests = [
        create_volume(f"{name}-{number}", snapshot_id=taken.snapshot_id) for number in range(4)
    ]

    with ThreadPoolExecutor(4) as pool:
        codes = list(
            pool.map(lambda each: outcome(lambda: controller.CreateVolume(each))[0], requests)
        )

    assert codes == ["UNAVAILABLE"] * 4
    assert not [each for each in names_in(cloud) if each in {each.name for each in requests}]


def test_a_blank_volume_whose_operation_failed_after_its_effect_is_used(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # first rule of the error table: explain by reading
    cloud.add_fault(fault="fail", operation=CREATE, reason="partial", leaves="done", count=1)

    made = controller.CreateVolume(create_volume(name)).volume.volume_id

    assert made.split("/")[1] in ids_in(cloud)


@pytest.mark.parametrize(("kind", "operation"), [("volume", CREATE), ("snapshot", TAKE)])
def test_a_class_that_became_invalid_is_no_final_answer_while_the_creation_goes_on(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    kind: str,
    operation: str,
) -> None:  # C1: the sidecar would forget what is being made
    def make(timeout: float = 30, **parameters: str) -> None:
        if kind == "volume":
            request = create_volume(name, parameters=parameters)
            controller.CreateVolume(request, timeout=timeout)
        else:
            taking = create_snapshot(name, volume)
            taking.parameters.update(parameters)
            controller.CreateSnapshot(taking, timeout=timeout)

    cloud.add_fault(fault="hang", operation=operation, count=1)
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        make(timeout=3)

    with refused(grpc.StatusCode.UNAVAILABLE, "fromat", "with other arguments"):
        make(fromat="x")
    (hanging,) = (each for each in cloud.operations() if each["state"] == "pending")
    cloud.finish_operation(hanging["zone"], hanging["id"])
    make()

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "fromat"):
        make(fromat="x")


def names_in(cloud: SimulatorProcess) -> list[str]:
    """Return the names of the volumes and snapshots that there are."""
    return [each["name"] for each in (*cloud.volumes(), *cloud.snapshots())]


def ids_in(cloud: SimulatorProcess) -> set[str]:
    return {each["id"] for each in (*cloud.volumes(), *cloud.snapshots())}
