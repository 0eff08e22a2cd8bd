"""Another process leads: what the last leader began is found, wherever it did (C3, F16)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from csi_exoblock.timing import Timing
from tests.controller.conftest import TIME_SCALE, Controller, StartController, truth
from tests.controller.requests import create_volume, publish, unpublish
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

CREATE = "create-block-storage-volume"
ATTACH, DETACH = "attach-block-storage-volume-to-instance", "detach-block-storage-volume"
# How late a write of a process that died takes effect; and how fast its heir lives, which believes
# no volume for the first 5 s of its time.
LATE_SECONDS = 1.5
DOUBTING_SCALE = "0.6"

_AWAY_SECONDS = float(TIME_SCALE) * Timing().leader_away


@pytest.fixture
def successor(controller: Controller, cloud: SimulatorProcess, name: str) -> Controller:
    """A process that led once and has served no create for as long as another one can lead.

    It has just listed every zone, because the attacher's leader election chose it meanwhile.
    """
    for zone in cloud.zones[:2]:
        controller.CreateVolume(create_volume(f"{name}-before-{zone}", zones=[zone]))
    threading.Event().wait(_AWAY_SECONDS)
    controller.ListVolumes(csi_pb2.ListVolumesRequest())
    return controller


def test_a_claim_that_moves_as_the_leader_dies_has_one_volume(
    successor: Controller, start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C3, F16: the successor's lists of other zones are older than its lead
    first, second = cloud.zones[:2]
    predecessor = start_controller()
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        Controller(predecessor.channel).CreateVolume(create_volume(name, zones=[first]))
    predecessor.kill()

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        successor.CreateVolume(create_volume(name, zones=[second]))

    assert [each["zone"] for each in cloud.volumes() if each["name"] == name] == [first]


def test_a_late_detach_of_a_dead_process_does_not_take_the_disk_from_the_next_node(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D3, S5: a detach names no instance
    zone = node.split("/")[0]
    next_node = f"{zone}/{cloud.add_instance(zone)}"
    predecessor = start_controller()
    Controller(predecessor.channel).ControllerPublishVolume(publish(volume, node))
    detach = Controller(predecessor.channel).ControllerUnpublishVolume
    die_within(predecessor, detach.future, unpublish(volume, node), cloud, DETACH)

    heir = Controller(start_controller("--time-scale", DOUBTING_SCALE).channel)
    heir.ControllerUnpublishVolume(unpublish(volume, node))
    heir.ControllerPublishVolume(publish(volume, next_node))
    threading.Event().wait(LATE_SECONDS)

    assert truth(cloud, volume)["instance"]["id"] == next_node.split("/")[1]


def test_a_late_attach_of_a_dead_process_is_seen(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D3, S5: once the detach was OK, nobody would ask for another
    predecessor = start_controller()
    attach = Controller(predecessor.channel).ControllerPublishVolume
    die_within(predecessor, attach.future, publish(volume, node), cloud, ATTACH)

    heir = Controller(start_controller("--time-scale", DOUBTING_SCALE).channel)
    heir.ControllerUnpublishVolume(unpublish(volume, node))
    threading.Event().wait(LATE_SECONDS)

    assert truth(cloud, volume)["state"] == "detached"


def die_within(
    driver: DriverProcess,
    call: Callable[[Any], grpc.Future[Any]],
    request: object,
    cloud: SimulatorProcess,
    operation: str,
) -> None:
    """Kill a driver whose call has sent a write that takes effect late."""
    cloud.add_fault(fault="delay", operation=operation, seconds=LATE_SECONDS, count=1)
    ended = call(request)
    wait_until(lambda: operation in cloud.operations_called())
    driver.kill()
    ended.exception()
