"""Another process leads: what the last leader began is found, wherever it did (C3, F16)."""

from __future__ import annotations

import threading

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from csi_exoblock.timing import Timing
from tests.controller.conftest import TIME_SCALE, Controller, StartController
from tests.controller.requests import create_volume
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

CREATE = "create-block-storage-volume"

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
