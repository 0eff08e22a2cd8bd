"""A 404 proves absence only once a list confirms it: gateways write some too (section 7, C1)."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller, ids, truth
from tests.controller.requests import (
    absent_id,
    create_snapshot,
    create_volume,
    delete_snapshot,
    delete_volume,
    expand,
    publish,
    unpublish,
)
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

ATTACH = "attach-block-storage-volume-to-instance"
BODIES = [
    '{"message": "no Route matched with those values"}',  # Kong's
    '{"title": "Not Found", "status": 404}',
    '{"title": "Not Found", "status": 404, "detail": "no resource at this path"}',
    "<html>404 Not Found</html>",
]


@pytest.fixture
def snapshot(controller: Controller, volume: str, name: str) -> str:
    """The id of a snapshot of the volume."""
    return controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id


@pytest.fixture(params=BODIES)
def body(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_nothing_is_gone_while_a_gateway_has_lost_its_routes(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    snapshot: str,
    name: str,
    node: str,
    body: str,
) -> None:  # C1, S2, F18
    attached = controller.CreateVolume(create_volume(f"{name}-attached")).volume.volume_id
    controller.ControllerPublishVolume(publish(attached, node))
    cloud.add_fault(fault="refuse", status=404, body=body)

    by_id = csi_pb2.ListSnapshotsRequest(snapshot_id=snapshot)
    calls: tuple[Callable[[], object], ...] = (
        lambda: controller.DeleteVolume(delete_volume(volume)),
        lambda: controller.DeleteSnapshot(delete_snapshot(snapshot)),
        lambda: controller.ControllerUnpublishVolume(unpublish(attached, node)),
        lambda: controller.ControllerPublishVolume(publish(volume, node)),
        lambda: controller.ListSnapshots(by_id),
    )
    for call in calls:
        with refused(grpc.StatusCode.UNAVAILABLE, "404"):
            call()


def test_what_is_still_listed_was_not_deleted(
    controller: Controller, cloud: SimulatorProcess, volume: str, snapshot: str, body: str
) -> None:  # C1, section 7: only the delete itself goes astray
    cloud.add_fault(
        fault="refuse", operation="delete-block-storage-snapshot", status=404, body=body
    )
    cloud.add_fault(fault="refuse", operation="delete-block-storage-volume", status=404, body=body)

    with refused(grpc.StatusCode.UNAVAILABLE, snapshot, "404"):
        controller.DeleteSnapshot(delete_snapshot(snapshot))
    with refused(grpc.StatusCode.UNAVAILABLE, volume, "404"):
        controller.DeleteVolume(delete_volume(volume))
    cloud.clear_faults()
    controller.DeleteSnapshot(delete_snapshot(snapshot))
    controller.DeleteVolume(delete_volume(volume))

    assert volume not in ids(cloud)


def test_detach_that_goes_astray_is_told_by_the_volume(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, body: str
) -> None:  # S1, S2: a true 404 can be about the instance
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="refuse", operation="detach-block-storage-volume", status=404, body=body)

    with refused(grpc.StatusCode.UNAVAILABLE, volume):
        controller.ControllerUnpublishVolume(unpublish(volume, node))

    assert truth(cloud, volume)["state"] == "attached"


def test_create_whose_source_is_still_listed_can_have_its_volume_yet(
    controller: Controller, cloud: SimulatorProcess, snapshot: str, name: str
) -> None:  # C1: final only if the source is surely gone
    request = create_volume(f"{name}-restored", snapshot_id=snapshot)
    cloud.add_fault(
        fault="refuse", operation="create-block-storage-volume", status=404, body=BODIES[0]
    )

    with refused(grpc.StatusCode.UNAVAILABLE, "404"):
        controller.CreateVolume(request)
    cloud.clear_faults()

    assert controller.CreateVolume(request).volume.volume_id in ids(cloud)


@pytest.mark.parametrize("astray", [(ATTACH,), (ATTACH, "get-instance")], ids=["one", "both"])
def test_an_instance_that_is_still_listed_is_not_missing(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    body: str,
    astray: tuple[str, ...],
) -> None:  # S1, section 7: the same proof as for a volume
    for operation in astray:
        cloud.add_fault(fault="refuse", operation=operation, status=404, body=body)

    with refused(grpc.StatusCode.UNAVAILABLE, "404"):
        controller.ControllerPublishVolume(publish(volume, node))
    cloud.clear_faults()
    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["state"] == "attached"


def test_an_instance_counts_as_missing_only_where_the_list_can_be_read(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # section 7: an unproven absence says what was seen
    nowhere = absent_id(cloud.zones[0])
    cloud.add_fault(fault="refuse", operation="list-instances", status=403)

    with refused(grpc.StatusCode.UNAVAILABLE, nowhere, "404", "list-instances", "403"):
        controller.ControllerPublishVolume(publish(volume, nowhere))
    cloud.clear_faults()

    with refused(grpc.StatusCode.NOT_FOUND, "no such instance"):
        controller.ControllerPublishVolume(publish(volume, nowhere))


@pytest.mark.parametrize("is_page", [True, False])
def test_limit_of_an_instance_whose_volumes_cannot_be_listed_explains_nothing(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, is_page: bool
) -> None:  # C2, section 7: a gateway's 404 on that list is not the instance's absence
    cloud.add_fault(fault="refuse", operation=ATTACH, status=409)
    body = BODIES[-1] if is_page else BODIES[0]
    cloud.add_fault(fault="refuse", operation="list-block-storage-volumes", status=404, body=body)

    with refused(grpc.StatusCode.UNAVAILABLE, "404"):
        controller.ControllerPublishVolume(publish(volume, node))


def test_a_volume_does_not_grow_in_use_because_a_gateway_lost_its_instance(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, body: str
) -> None:  # N2, S7
    cloud.set_mode("resize-attached", "accepted")
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="refuse", operation="get-instance", status=404, body=body)

    with refused(grpc.StatusCode.UNAVAILABLE, "404"):
        controller.ControllerExpandVolume(expand(volume, 2))

    assert truth(cloud, volume)["size"] == 1
