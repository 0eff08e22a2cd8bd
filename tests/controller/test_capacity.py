"""Capacity is what the organisation's quota leaves, for those who want to know (N4)."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller, StartController
from tests.controller.requests import GIB, TOPOLOGY_KEY
from tests.support.grpc_errors import outcome, refused
from tests.support.simulator_process import SimulatorProcess

RPC = csi_pb2.ControllerServiceCapability.RPC
UNLIMITED = -1


@pytest.fixture(scope="module")
def knowing(start_controller: StartController) -> Controller:
    return Controller(start_controller("--capacity-from-quota", "true").channel)


@pytest.fixture
def quotas(cloud: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The cloud, whose quotas are as before afterwards."""
    yield cloud
    for resource, limit in (
        ("block-storage", 20480),
        ("block-storage-volume", 1000),
        ("block-storage-max-size", 10240),
    ):
        cloud.set_quota(resource, limit)


def capacity_of(zone: str = "", **parameters: str) -> csi_pb2.GetCapacityRequest:
    """Return what csi-provisioner 6.4 sends: a class as it stands, and no capabilities."""
    request = csi_pb2.GetCapacityRequest(parameters=parameters)
    if zone:
        request.accessible_topology.segments[TOPOLOGY_KEY] = zone
    return request


def test_it_is_offered_only_when_asked_for(controller: Controller, knowing: Controller) -> None:
    # the quota belongs to the organisation, not to the cluster
    assert RPC.GET_CAPACITY not in offered(controller)
    assert RPC.GET_CAPACITY in offered(knowing)


@pytest.mark.parametrize(
    ("gib_left", "volumes_left", "largest", "available"),
    [
        (100, 5, 10240, 100),
        (100, 5, 40, 40),
        (100, 0, 10240, 0),
        (0, 5, 10240, 0),
        (UNLIMITED, UNLIMITED, UNLIMITED, 10240),
        (UNLIMITED, 1, 500, 500),
        (12, UNLIMITED, UNLIMITED, 12),
    ],
)
def test_the_least_of_what_the_quotas_leave(
    knowing: Controller,
    quotas: SimulatorProcess,
    gib_left: int,
    volumes_left: int,
    largest: int,
    available: int,
) -> None:
    volumes = quotas.volumes()
    used = {
        "block-storage": sum(each["size"] for each in volumes),
        "block-storage-volume": len(volumes),
    }
    for resource, left in (("block-storage", gib_left), ("block-storage-volume", volumes_left)):
        quotas.set_quota(resource, UNLIMITED if left == UNLIMITED else used[resource] + left)
    quotas.set_quota("block-storage-max-size", largest)

    answer = knowing.GetCapacity(capacity_of(quotas.zones[0]))

    assert answer.available_capacity == available * GIB
    assert answer.minimum_volume_size.value == 1 * GIB
    # Kubernetes' scheduler compares a claim with this alone where it is there.
    assert not answer.HasField("maximum_volume_size")


def test_no_volume_is_larger_than_the_flag_says(
    start_controller: StartController, quotas: SimulatorProcess
) -> None:  # N5
    flags = ("--capacity-from-quota", "true", "--max-volume-size-gib", "50")
    modest = Controller(start_controller(*flags).channel)

    answer = modest.GetCapacity(capacity_of(quotas.zones[0]))

    assert answer.available_capacity == 50 * GIB


def test_a_class_with_templates_has_capacity_too(
    knowing: Controller, cloud: SimulatorProcess
) -> None:  # N10: or with capacity tracking no pod is ever scheduled
    request = capacity_of(
        cloud.zones[0],
        volumeNameTemplate="{{cluster}}-{{pv.name}}",
        labels="owner={{pvc.namespace}}/{{ pvc.name }}",
        **{"csi.storage.k8s.io/fstype": "xfs"},
    )

    assert knowing.GetCapacity(request).available_capacity > 0


def test_a_class_that_no_claim_could_use_has_no_capacity(
    knowing: Controller, cloud: SimulatorProcess
) -> None:
    for parameters in ({"labels": "owner={{nonsense}}"}, {"nonsense": "1"}):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "nonsense"):
            knowing.GetCapacity(capacity_of(cloud.zones[0], **parameters))


def test_an_unknown_zone_is_named(knowing: Controller) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "xx-abc-1"):
        knowing.GetCapacity(capacity_of("xx-abc-1"))


def test_without_a_zone_the_default_one_is_meant(knowing: Controller) -> None:
    assert knowing.GetCapacity(capacity_of()).available_capacity > 0


def test_quotas_that_cannot_be_read_are_no_capacity_of_zero(
    knowing: Controller, cloud: SimulatorProcess
) -> None:  # C2: nothing is said that was not read
    cloud.add_fault(fault="refuse", operation="list-quotas", status=503)

    ended = outcome(lambda: knowing.GetCapacity(capacity_of(cloud.zones[0]), timeout=1))

    assert ended[0] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def offered(controller: Controller) -> list[int]:
    answer = controller.ControllerGetCapabilities(csi_pb2.ControllerGetCapabilitiesRequest())
    return [each.rpc.type for each in answer.capabilities]
