"""What the cloud says of a volume's health (N7): bad only where the cloud says error."""

from __future__ import annotations

import re

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller
from tests.controller.requests import absent_id
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

TRANSITIONAL = ("creating", "attaching", "detaching", "snapshotting", "deleting")


def health_of(controller: Controller, volume: str) -> csi_pb2.VolumeHealth:
    request = csi_pb2.ControllerGetVolumeHealthRequest(volume_id=volume)
    return controller.ControllerGetVolumeHealth(request).volume_health


def put_into(cloud: SimulatorProcess, volume: str, state: str) -> None:
    zone, uuid = volume.split("/")
    cloud.set_volume_state(zone, uuid, state)


def test_a_broken_volume_is_inaccessible_and_says_what_to_do(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    put_into(cloud, volume, "error")

    health = health_of(controller, volume)

    assert health.volume_id == volume
    (entry,) = health.health_statuses
    assert entry.status == csi_pb2.INACCESSIBLE
    assert entry.reason == "ApiError"
    assert volume in entry.message
    assert "support" in entry.message
    # what kubelet can put into a pod's status: a longer one makes the whole update fail
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", entry.reason)
    assert len(entry.message) <= 1024


@pytest.mark.parametrize("state", ["detached", "attached", *TRANSITIONAL])
def test_a_volume_that_is_well_or_merely_changing_has_no_ailment(
    controller: Controller, cloud: SimulatorProcess, volume: str, state: str
) -> None:
    put_into(cloud, volume, state)

    assert list(health_of(controller, volume).health_statuses) == []


def test_a_volume_that_is_gone_is_not_found(
    controller: Controller, cloud: SimulatorProcess
) -> None:
    for missing in (absent_id(cloud.zones[0]), "nonsense"):
        with refused(grpc.StatusCode.NOT_FOUND, missing):
            health_of(controller, missing)


def test_the_list_tells_the_sick_from_the_well(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    put_into(cloud, volume, "error")

    entries: list[csi_pb2.VolumeHealth] = []
    request = csi_pb2.ControllerListVolumeHealthRequest(max_entries=1)
    while True:
        page = controller.ControllerListVolumeHealth(request)
        assert len(page.entries) <= 1
        entries += page.entries
        if not page.next_token:
            break
        request.starting_token = page.next_token

    assert {each.volume_id for each in entries} == {
        f"{each['zone']}/{each['id']}" for each in cloud.volumes()
    }
    sick = [each for each in entries if each.volume_id == volume]
    assert [each.health_statuses[0].reason for each in sick] == ["ApiError"]


def test_health_is_announced(controller: Controller) -> None:
    rpc = csi_pb2.ControllerServiceCapability.RPC
    answer = controller.ControllerGetCapabilities(csi_pb2.ControllerGetCapabilitiesRequest())

    assert {rpc.GET_VOLUME_HEALTH, rpc.LIST_VOLUME_HEALTH} <= {
        each.rpc.type for each in answer.capabilities
    }
