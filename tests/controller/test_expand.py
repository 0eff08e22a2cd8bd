"""ControllerExpandVolume: it always finishes, and never shrinks (S7)."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from tests.controller.conftest import Controller, StartController, truth
from tests.controller.requests import GIB, absent_id, expand, publish, unpublish
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

GET = "get-block-storage-volume"
RESIZE = "resize-block-storage-volume"


def test_expand_costs_a_get_and_a_put(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # S20
    cloud.clear_calls()

    answer = controller.ControllerExpandVolume(expand(volume, 2.5))

    assert answer.capacity_bytes == 3 * GIB
    assert answer.node_expansion_required
    assert cloud.operations_called() == [GET, RESIZE]
    assert size_of(cloud, volume) == 3


def test_a_raw_block_volume_needs_nothing_on_the_node(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    request = expand(volume, 2)
    request.volume_capability.block.SetInParent()

    answer = controller.ControllerExpandVolume(request)

    assert not answer.node_expansion_required


def test_a_volume_that_is_large_enough_stays_as_it_is_even_while_attached(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerExpandVolume(expand(volume, 3))
    controller.ControllerPublishVolume(publish(volume, node))

    answer = controller.ControllerExpandVolume(expand(volume, 2))

    assert answer.capacity_bytes == 3 * GIB


def test_an_attached_volume_is_refused_until_it_is_detached(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))

    with refused(
        grpc.StatusCode.FAILED_PRECONDITION, volume, node.split("/")[1], "replace the pods"
    ):
        controller.ControllerExpandVolume(expand(volume, 2))
    assert RESIZE not in cloud.operations_called()
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    controller.ControllerExpandVolume(expand(volume, 2))

    assert size_of(cloud, volume) == 2


@pytest.mark.parametrize(("gib", "limit_gib"), [(1.2, 1.5), (10241, 0)])
def test_sizes_that_cannot_be_had_are_out_of_range(
    controller: Controller, cloud: SimulatorProcess, volume: str, gib: float, limit_gib: float
) -> None:  # C5
    with refused(grpc.StatusCode.OUT_OF_RANGE):
        controller.ControllerExpandVolume(expand(volume, gib, limit_gib=limit_gib))

    assert size_of(cloud, volume) == 1


def test_a_volume_never_shrinks(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    controller.ControllerExpandVolume(expand(volume, 3))

    with refused(grpc.StatusCode.OUT_OF_RANGE, "3 GiB", "shrink"):
        controller.ControllerExpandVolume(expand(volume, 1, limit_gib=2))

    assert size_of(cloud, volume) == 3


def test_an_exhausted_quota_lets_the_user_ask_for_less(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # S4: RESOURCE_EXHAUSTED would freeze the size
    cloud.set_quota("block-storage", 1)

    with refused(grpc.StatusCode.OUT_OF_RANGE, "quota block-storage"):
        controller.ControllerExpandVolume(expand(volume, 2))

    cloud.set_quota("block-storage", 20480)
    assert size_of(cloud, volume) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resize_whose_answer_is_lost_converges(
    controller: Controller, cloud: SimulatorProcess, volume: str, when: str
) -> None:
    cloud.add_fault(fault="drop", operation=RESIZE, when=when, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.ControllerExpandVolume(expand(volume, 2))
    controller.ControllerExpandVolume(expand(volume, 2))

    assert size_of(cloud, volume) == 2
    assert cloud.operations_called().count(RESIZE) == (2 if when == "before" else 1)


def test_a_volume_that_does_not_exist_is_not_found(
    controller: Controller, cloud: SimulatorProcess
) -> None:
    with refused(grpc.StatusCode.NOT_FOUND):
        controller.ControllerExpandVolume(expand(absent_id(cloud.zones[0]), 2))
    with refused(grpc.StatusCode.NOT_FOUND):
        controller.ControllerExpandVolume(expand("nonsense", 2))


def test_what_is_large_enough_is_so_above_the_largest_size_too(
    controller: Controller, start_controller: StartController, cloud: SimulatorProcess, volume: str
) -> None:  # S7: the maximum was lowered since, and the resizer asks again
    controller.ControllerExpandVolume(expand(volume, 3))
    modest = Controller(start_controller("--max-volume-size-gib", "2").channel)

    answer = modest.ControllerExpandVolume(expand(volume, 3))

    assert answer.capacity_bytes == 3 * GIB
    with refused(grpc.StatusCode.OUT_OF_RANGE, "at most 2 GiB"):
        modest.ControllerExpandVolume(expand(volume, 4))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("error", grpc.StatusCode.FAILED_PRECONDITION),
        ("deleting", grpc.StatusCode.NOT_FOUND),
        ("deleted", grpc.StatusCode.NOT_FOUND),
        ("creating", grpc.StatusCode.ABORTED),
        ("snapshotting", grpc.StatusCode.ABORTED),
    ],
)
def test_a_state_that_lasts_is_no_reason_to_ask_for_ever(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    state: str,
    code: grpc.StatusCode,
) -> None:  # S7: ABORTED freezes the size of the claim
    cloud.set_volume_state(*split(volume), state)

    with refused(code, volume, state):
        controller.ControllerExpandVolume(expand(volume, 2))

    assert RESIZE not in cloud.operations_called()


@pytest.mark.parametrize("state", ["deleting", "deleted"])
def test_a_volume_that_goes_is_not_large_enough_either(
    controller: Controller, cloud: SimulatorProcess, volume: str, state: str
) -> None:  # S7
    cloud.set_volume_state(*split(volume), state)

    with refused(grpc.StatusCode.NOT_FOUND, volume, state):
        controller.ControllerExpandVolume(expand(volume, 1))


def test_an_unknown_state_is_for_the_api_to_judge(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # S7: a word that the API added since may last for ever
    body = json.dumps({**truth(cloud, volume), "state": "hibernating"})
    cloud.add_fault(fault="garbage", operation=GET, status=200, body=body, count=1)

    controller.ControllerExpandVolume(expand(volume, 2))

    assert size_of(cloud, volume) == 2


def test_a_conflict_that_nothing_explains_lets_the_user_ask_for_less(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # S4: ABORTED for ever would freeze the size
    cloud.add_fault(
        fault="refuse", operation=RESIZE, status=409, body=json.dumps({"message": "No"})
    )

    with refused(grpc.StatusCode.FAILED_PRECONDITION, volume, "2 GiB", "No"):
        controller.ControllerExpandVolume(expand(volume, 2))


def split(volume_id: str) -> tuple[str, str]:
    zone, uuid = volume_id.split("/")
    return zone, uuid


def size_of(cloud: SimulatorProcess, volume_id: str) -> Any:
    """Return the size in GiB that the volume truly has."""
    return truth(cloud, volume_id)["size"]
