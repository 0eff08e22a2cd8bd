"""Lists: whole, in pages that survive changes between them, one call for each zone (S20, S6)."""

from __future__ import annotations

import weakref

import grpc
import pytest

from csi_exoblock.controller.listing import Pages
from csi_exoblock.errors import InvalidToken
from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller, ids
from tests.controller.requests import absent_id, create_volume, delete_volume, publish
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

LIST = "list-block-storage-volumes"


def test_a_list_says_where_each_volume_is_attached(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S6: the attacher heals a VolumeAttachment that lies
    controller.ControllerPublishVolume(publish(volume, node))

    entries = controller.ListVolumes(csi_pb2.ListVolumesRequest()).entries

    (entry,) = (each for each in entries if each.volume.volume_id == volume)
    assert list(entry.status.published_node_ids) == [node]


def test_pages_cost_one_call_for_each_zone_and_survive_changes(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    cloud.add_volumes(cloud.zones[0], 5, prefix=name)
    expected = set(ids(cloud))
    doomed = next(
        f"{each['zone']}/{each['id']}" for each in cloud.volumes() if name in each["name"]
    )
    cloud.clear_calls()

    seen: list[str] = []
    page = controller.ListVolumes(csi_pb2.ListVolumesRequest(max_entries=2))
    controller.DeleteVolume(delete_volume(doomed))  # once: a 404 would cost a list of its own
    while True:
        assert len(page.entries) <= 2
        seen += [entry.volume.volume_id for entry in page.entries]
        if not page.next_token:
            break
        page = controller.ListVolumes(
            csi_pb2.ListVolumesRequest(max_entries=2, starting_token=page.next_token)
        )

    assert len(seen) == len(set(seen))
    assert set(seen) == expected
    assert cloud.operations_called().count(LIST) == len(cloud.zones)


def test_an_unknown_token_is_aborted(controller: Controller, cloud: SimulatorProcess) -> None:
    with refused(grpc.StatusCode.ABORTED, "starting_token"):
        controller.ListVolumes(csi_pb2.ListVolumesRequest(starting_token="nonsense"))
    with refused(grpc.StatusCode.ABORTED, "starting_token"):
        controller.ListSnapshots(csi_pb2.ListSnapshotsRequest(starting_token="7"))


def test_a_single_volume_can_be_read(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    created = controller.CreateVolume(create_volume(name, 2)).volume

    read = controller.ControllerGetVolume(
        csi_pb2.ControllerGetVolumeRequest(volume_id=created.volume_id)
    )

    assert read.volume.volume_id == created.volume_id
    assert read.volume.capacity_bytes == created.capacity_bytes
    with refused(grpc.StatusCode.NOT_FOUND):
        controller.ControllerGetVolume(
            csi_pb2.ControllerGetVolumeRequest(volume_id=absent_id(cloud.zones[0]))
        )


def test_a_volume_that_was_deleted_is_not_read(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # nor listed: the API may show it for a while
    zone, uuid = volume.split("/")
    cloud.set_volume_state(zone, uuid, "deleted")

    with refused(grpc.StatusCode.NOT_FOUND, volume):
        controller.ControllerGetVolume(csi_pb2.ControllerGetVolumeRequest(volume_id=volume))
    listed = controller.ListVolumes(csi_pb2.ListVolumesRequest()).entries
    assert volume not in [entry.volume.volume_id for entry in listed]


def test_what_nobody_continues_is_not_kept() -> None:  # S21: ten lists of 10,000 took 36 MiB
    pages = Pages[Thing](0.0)
    entries = [Thing() for _ in range(3)]
    last = weakref.ref(entries[2])
    token = pages.page(entries.copy, 1, "").next_token

    del entries
    pages.forget_abandoned()

    assert last() is None
    with pytest.raises(InvalidToken):
        pages.page(list, 1, token)


def test_a_page_that_is_too_old_is_not_continued() -> None:  # S20
    pages = Pages[int](-1.0)
    token = pages.page(lambda: [1, 2, 3], 1, "").next_token

    with pytest.raises(InvalidToken, match="too old"):
        pages.page(list, 1, token)


class Thing:
    """Something that is listed."""
