"""How large a volume may be is the organisation's quota where it can be read (N5, C5)."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.controller.conftest import Controller, StartController
from tests.controller.requests import GIB, create_volume, expand
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

DOCUMENTED_GIB = 10240
QUOTAS = "list-quotas"
LARGEST = "block-storage-max-size"
UNLIMITED = -1


@pytest.fixture
def quotas(cloud: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The cloud with room for large volumes, and with its own quotas again afterwards."""
    before = cloud.quotas()
    cloud.set_quota("block-storage", UNLIMITED)
    yield cloud
    for resource, limit in before.items():
        cloud.set_quota(resource, limit)


@pytest.mark.parametrize("limit", [20480, UNLIMITED])
def test_a_raised_quota_is_seen_while_running(
    controller: Controller, quotas: SimulatorProcess, name: str, limit: int
) -> None:
    with refused(grpc.StatusCode.OUT_OF_RANGE, str(DOCUMENTED_GIB)):
        controller.CreateVolume(create_volume(name, DOCUMENTED_GIB + 1))
    quotas.set_quota(LARGEST, limit)

    answer = controller.CreateVolume(create_volume(name, DOCUMENTED_GIB + 1))
    grown = controller.ControllerExpandVolume(expand(answer.volume.volume_id, DOCUMENTED_GIB + 2))

    assert grown.capacity_bytes == (DOCUMENTED_GIB + 2) * GIB


def test_a_lower_quota_is_named(
    controller: Controller, quotas: SimulatorProcess, name: str, volume: str
) -> None:
    quotas.set_quota(LARGEST, 5)

    with refused(grpc.StatusCode.OUT_OF_RANGE, LARGEST, "5 GiB"):
        controller.CreateVolume(create_volume(name, 6))
    with refused(grpc.StatusCode.OUT_OF_RANGE, LARGEST, "5 GiB"):
        controller.ControllerExpandVolume(expand(volume, 6))


def test_quotas_that_cannot_be_read_block_no_create(
    controller: Controller, quotas: SimulatorProcess, name: str
) -> None:
    quotas.add_fault(fault="refuse", operation=QUOTAS, status=403)

    controller.CreateVolume(create_volume(name, DOCUMENTED_GIB))
    with refused(grpc.StatusCode.OUT_OF_RANGE, str(DOCUMENTED_GIB)):
        controller.CreateVolume(create_volume(f"{name}-larger", DOCUMENTED_GIB + 1))


def test_no_quota_is_read_in_the_way_of_a_create(
    controller: Controller, quotas: SimulatorProcess, name: str
) -> None:  # S20
    controller.CreateVolume(create_volume(name, 2))

    assert QUOTAS not in quotas.operations_called()


def test_a_flag_counts_more_than_the_quota(
    start_controller: StartController, quotas: SimulatorProcess, name: str
) -> None:
    modest = Controller(start_controller("--max-volume-size-gib", "50").channel)

    with refused(grpc.StatusCode.OUT_OF_RANGE, "50 GiB"):
        modest.CreateVolume(create_volume(name, 51))

    assert QUOTAS not in quotas.operations_called()


def test_a_number_that_no_answer_could_repeat_is_out_of_range(
    controller: Controller, quotas: SimulatorProcess, name: str, volume: str
) -> None:  # C5: the volume was made, and then its size fitted into no answer
    quotas.set_quota(LARGEST, UNLIMITED)
    create, grow = create_volume(name), expand(volume, 1)
    create.capacity_range.required_bytes = grow.capacity_range.required_bytes = 2**63 - 1

    with refused(grpc.StatusCode.OUT_OF_RANGE, "GiB"):
        controller.CreateVolume(create)
    with refused(grpc.StatusCode.OUT_OF_RANGE, "GiB"):
        controller.ControllerExpandVolume(grow)

    assert [each for each in quotas.volumes() if each["name"] == name] == []
