"""ValidateVolumeCapabilities is truthful: yes, no with a reason, or no such volume (F9)."""

from __future__ import annotations

import grpc

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller
from tests.controller.requests import Mode, absent_id, capability
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess


def ask(
    controller: Controller, volume_id: str, *capabilities: csi_pb2.VolumeCapability
) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
    return controller.ValidateVolumeCapabilities(
        csi_pb2.ValidateVolumeCapabilitiesRequest(
            volume_id=volume_id, volume_capabilities=capabilities
        )
    )


def test_what_a_volume_can_do_is_confirmed(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    answer = ask(controller, volume, capability("xfs"))

    assert list(answer.confirmed.volume_capabilities) == [capability("xfs")]


def test_what_it_cannot_do_is_not_confirmed_and_says_why(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:
    answer = ask(controller, volume, capability(mode=Mode.MULTI_NODE_MULTI_WRITER))

    assert not answer.HasField("confirmed")
    assert "MULTI_NODE_MULTI_WRITER" in answer.message


def test_a_class_with_templates_can_be_had(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # N10: who asks names no claim
    answer = controller.ValidateVolumeCapabilities(
        csi_pb2.ValidateVolumeCapabilitiesRequest(
            volume_id=volume,
            volume_capabilities=[capability()],
            parameters={"volumeNameTemplate": "db-{{pv.name}}"},
            mutable_parameters={"labels": "owner={{pvc.namespace}}"},
        )
    )

    assert answer.HasField("confirmed"), answer.message


def test_a_volume_that_does_not_exist_is_not_found(
    controller: Controller, cloud: SimulatorProcess
) -> None:
    with refused(grpc.StatusCode.NOT_FOUND):
        ask(controller, absent_id(cloud.zones[0]), capability())
