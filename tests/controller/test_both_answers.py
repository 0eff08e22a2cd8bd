"""Nobody knows how the real API answers some questions: the driver is right under each answer.

Requirements, section 8; C1, C4, C5, S1, S4, S7, S8, S18, S19, N1, N6. The schedules of faults draw
the same answers by seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from csi_exoblock.simulator.state.modes import ANSWERED, Question
from tests.controller.conftest import Controller, StartController
from tests.controller.requests import (
    GIB,
    create_snapshot,
    create_volume,
    delete_snapshot,
    delete_volume,
    expand,
    publish,
    unpublish,
)
from tests.controller.waiting import as_a_sidecar_would
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

pytestmark = pytest.mark.thorough

T = TypeVar("T")

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
PAGE = Path(__file__).parents[2] / "docs" / "open-questions.md"


@pytest.mark.parametrize(
    ("question", "answer"),
    [(question, answer) for question in Question for answer in question.answers],
    ids=lambda value: value.label if isinstance(value, Question) else value,
)
def test_a_life_goes_well_under_either_answer(
    controller: Controller,
    cloud: SimulatorProcess,
    name: str,
    node: str,
    start_controller: StartController,
    question: Question,
    answer: str,
) -> None:
    cloud.set_mode(question.label, answer)
    if question is Question.GET_LAG:  # of 4 s of the cloud's own time
        controller = Controller(start_controller("--time-scale", "1").channel)
    if question is Question.CREATE_LABELS:  # a process finds out once for each zone
        controller = Controller(start_controller().channel)
    life = Life(controller, cloud, node)

    source = life.create(create_volume(f"{name}-source", 10, parameters={"labels": "team=red"}))
    snapshot = life.snapshot(f"{name}-early", source)
    restored = life.create(create_volume(f"{name}-restored", 12, snapshot_id=snapshot))
    cloned = life.create(clone_of(source, f"{name}-cloned", 12))
    life.use(source, 20)
    during = life.snapshot_in_use(f"{name}-late", source)
    life.release(source)

    assert life.truth(source)["labels"]["team"] == "red"  # C4
    assert life.truth(source)["labels"]["exoblock/name"] == f"{name}-source"
    assert life.truth(source)["size"] == 20  # N1, S7
    assert life.truth(restored)["size"] == life.truth(cloned)["size"] == 12  # S8
    life.end([source, restored, cloned], [each for each in (snapshot, during) if each])
    assert [each for each in cloud.volumes() if name in each["name"]] == []  # C1
    assert [each for each in cloud.snapshots() if name in each["name"]] == []  # C6


@pytest.mark.parametrize("state", ["stopped", "destroyed"])
@pytest.mark.parametrize("refused_by_state", Question.DETACH_STOPPED.answers)
@pytest.mark.parametrize("freed", Question.DESTROYED_INSTANCE.answers)
def test_a_volume_leaves_an_instance_that_does_not_run(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    state: str,
    refused_by_state: str,
    freed: str,
) -> None:  # S1: as soon as the cloud lets it
    cloud.set_mode("detach-stopped", refused_by_state)
    cloud.set_mode("destroyed-instance", freed)
    controller.ControllerPublishVolume(publish(volume, node))
    zone, instance = node.split("/")
    cloud.set_instance_state(zone, instance, state)

    if refused_by_state == "refused" and not (state == "destroyed" and freed == "frees"):
        with refused(grpc.StatusCode.UNAVAILABLE, instance, "Kubernetes will retry"):
            controller.ControllerUnpublishVolume(unpublish(volume, node))
        cloud.set_instance_state(zone, instance, "running")
    as_a_sidecar_would(lambda: controller.ControllerUnpublishVolume(unpublish(volume, node)))

    assert Life(controller, cloud, node).truth(volume)["state"] == "detached"


def test_every_answer_of_the_page_can_be_given() -> None:  # N15: one named mode a row
    open_ones, answered = PAGE.read_text().split("\n## Answered on ")

    assert _modes_of(open_ones) == sorted(each.label for each in Question if each not in ANSWERED)
    assert _modes_of(answered) == sorted(each.label for each in ANSWERED)


def _modes_of(text: str) -> list[str]:
    """Return the modes in the last column of a table; every row has one."""
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    modes = [re.findall(r"`([a-z-]+)`", row.split("|")[3]) for row in rows]
    assert all(modes)
    return sorted(mode for row in modes for mode in row)


class Life:
    """What sidecars do for a user, again and again until it is done."""

    def __init__(self, controller: Controller, cloud: SimulatorProcess, node: str) -> None:
        self._controller = controller
        self._cloud = cloud
        self._node = node

    def create(self, request: csi_pb2.CreateVolumeRequest) -> str:
        made = as_a_sidecar_would(lambda: self._controller.CreateVolume(request)).volume
        assert made.capacity_bytes == request.capacity_range.required_bytes
        return made.volume_id

    def snapshot(self, name: str, volume: str) -> str:
        request = create_snapshot(name, volume)
        made = as_a_sidecar_would(lambda: self._controller.CreateSnapshot(request)).snapshot
        assert made.size_bytes == 10 * GIB
        return made.snapshot_id

    def snapshot_in_use(self, name: str, volume: str) -> str | None:
        """Take a snapshot of an attached volume, where the cloud allows that."""
        request = create_snapshot(name, volume)
        answer = unless_refused(lambda: self._controller.CreateSnapshot(request))
        return answer.snapshot.snapshot_id if answer else None

    def use(self, volume: str, gib: int) -> None:
        """Attach a volume and expand it, which has to wait for its release."""
        request = publish(volume, self._node)
        as_a_sidecar_would(lambda: self._controller.ControllerPublishVolume(request))
        assert unless_refused(lambda: self._grow(volume, gib)) is None

    def release(self, volume: str) -> None:
        """Detach a volume; whether a label or the resizer's own retry, something expands it."""
        detach = unpublish(volume, self._node)
        as_a_sidecar_would(lambda: self._controller.ControllerUnpublishVolume(detach))
        as_a_sidecar_would(lambda: self._grow(volume, 20))

    def end(self, volumes: list[str], snapshots: list[str]) -> None:
        """Delete everything, as often as it takes: the first try may be too early."""
        for _ in range(2):
            volumes = [each for each in volumes if not self._is_deleted(each)]
            for snapshot in snapshots:
                request = delete_snapshot(snapshot)
                unless_refused(lambda request=request: self._controller.DeleteSnapshot(request))  # type: ignore[misc] # bound now, not later
        assert volumes == []

    def truth(self, volume: str) -> dict[str, Any]:
        (found,) = [each for each in self._cloud.volumes() if volume.endswith(each["id"])]
        return found

    def _grow(self, volume: str, gib: int) -> csi_pb2.ControllerExpandVolumeResponse:
        return self._controller.ControllerExpandVolume(expand(volume, gib))

    def _is_deleted(self, volume: str) -> bool:
        request = delete_volume(volume)
        return unless_refused(lambda: self._controller.DeleteVolume(request)) is not None


def unless_refused(call: Callable[[], T]) -> T | None:
    """Return the answer of a call, None if the state of things forbids it."""
    try:
        return as_a_sidecar_would(call)
    except grpc.RpcError as error:
        if cast(grpc.Call, error).code() is not FAILED_PRECONDITION:
            raise
        return None


def clone_of(source: str, name: str, gib: int) -> csi_pb2.CreateVolumeRequest:
    request = create_volume(name, gib)
    request.volume_content_source.volume.volume_id = source
    return request
