"""The cloud changes between a read and the write: a refusal is explained by reading again.

First rule of the error table (requirements, section 7): D3, D12, S4, S7, N2, whatever the status.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from csi_exoblock.simulator.state.modes import Question
from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, ids, truth
from tests.controller.gate import Gate
from tests.controller.requests import GIB, delete_volume, expand, publish
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

Write = tuple[str, str]
"""A method, and what is in the path."""

ATTACH: Write = ("PUT", ":attach")
RESIZE: Write = ("PUT", ":resize-volume")
DELETE: Write = ("DELETE", "")

Meanwhile = Callable[[Write, Callable[[], object], Callable[[], object]], Any]


@pytest.fixture
def controller(behind: Controller) -> Controller:
    return behind


@pytest.fixture(params=Question.REFUSAL_STATUS.answers)
def meanwhile(cloud: SimulatorProcess, gate: Gate, request: pytest.FixtureRequest) -> Meanwhile:
    """Have something happen after a call has read and before its write has its effect."""
    cloud.set_mode(Question.REFUSAL_STATUS.label, request.param)

    def run(write: Write, call: Callable[[], object], happening: Callable[[], object]) -> object:
        held = gate.hold(*write)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(call)
            with held:
                happening()
            return answer.result()

    return run


@pytest.fixture
def other(cloud: SimulatorProcess) -> str:
    """The id of a second node in the default zone."""
    return f"{cloud.zones[0]}/{cloud.add_instance(cloud.zones[0])}"


def test_a_volume_that_was_attached_elsewhere_is_refused_by_name(
    controller: Controller,
    administrator: Administrator,
    meanwhile: Meanwhile,
    volume: str,
    node: str,
    other: str,
) -> None:  # D3
    with refused(grpc.StatusCode.FAILED_PRECONDITION, other.split("/")[1]):
        meanwhile(
            ATTACH,
            lambda: controller.ControllerPublishVolume(publish(volume, node)),
            lambda: administrator.attach_volume(volume, other),
        )


def test_a_volume_that_was_attached_to_this_node_is_attached(
    controller: Controller,
    administrator: Administrator,
    meanwhile: Meanwhile,
    volume: str,
    node: str,
) -> None:
    meanwhile(
        ATTACH,
        lambda: controller.ControllerPublishVolume(publish(volume, node)),
        lambda: administrator.attach_volume(volume, node),
    )


def test_a_volume_of_which_a_snapshot_was_begun_is_attached_later(
    controller: Controller, cloud: SimulatorProcess, meanwhile: Meanwhile, volume: str, node: str
) -> None:  # S4, S18
    zone, uuid = volume.split("/")

    with refused(grpc.StatusCode.ABORTED, volume, "snapshotting"):
        meanwhile(
            ATTACH,
            lambda: controller.ControllerPublishVolume(publish(volume, node)),
            lambda: cloud.set_volume_state(zone, uuid, "snapshotting"),
        )


def test_a_volume_that_was_attached_is_not_deleted(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    meanwhile: Meanwhile,
    volume: str,
    node: str,
) -> None:  # D12
    with refused(grpc.StatusCode.FAILED_PRECONDITION, node.split("/")[1]):
        meanwhile(
            DELETE,
            lambda: controller.DeleteVolume(delete_volume(volume)),
            lambda: administrator.attach_volume(volume, node),
        )

    assert volume in ids(cloud)


def test_a_volume_that_was_resized_is_large_enough(
    controller: Controller, administrator: Administrator, meanwhile: Meanwhile, volume: str
) -> None:  # S7
    answer = meanwhile(
        RESIZE,
        lambda: controller.ControllerExpandVolume(expand(volume, 2)),
        lambda: administrator.resize_volume(volume, 3),
    )

    assert answer.capacity_bytes == 3 * GIB


def test_a_volume_whose_instance_was_started_grows_at_its_next_attach(
    controller: Controller, cloud: SimulatorProcess, meanwhile: Meanwhile, volume: str, node: str
) -> None:  # N2, N1
    controller.ControllerPublishVolume(publish(volume, node))
    zone, instance = node.split("/")
    cloud.set_instance_state(zone, instance, "stopped")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, instance, "replace the pods"):
        meanwhile(
            RESIZE,
            lambda: controller.ControllerExpandVolume(expand(volume, 2)),
            lambda: cloud.set_instance_state(zone, instance, "running"),
        )

    assert truth(cloud, volume)["labels"]["exoblock/pending-size"].startswith("2-")
