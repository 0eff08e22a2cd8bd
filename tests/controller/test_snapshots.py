"""Snapshots: one for each name, with the size and the time that stay true (S18, N17)."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, StartController
from tests.controller.requests import (
    GIB,
    TOPOLOGY_KEY,
    absent_id,
    create_snapshot,
    create_volume,
    delete_snapshot,
    delete_volume,
)
from tests.controller.waiting import as_a_sidecar_would, wait_until_called
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

CREATE = "create-block-storage-snapshot"
DELETE = "delete-block-storage-snapshot"
GET = "get-block-storage-snapshot"
LIST = "list-block-storage-snapshots"
POLL = "get-operation"


def test_a_snapshot_says_what_it_is_of_and_where(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18, N17
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot

    assert snapshot.ready_to_use
    assert snapshot.source_volume_id == volume
    assert snapshot.size_bytes == 1 * GIB
    assert snapshot.creation_time.seconds > 0
    assert [dict(each.segments) for each in snapshot.accessible_topology] == [
        {TOPOLOGY_KEY: cloud.zones[0]}
    ]


def test_a_snapshot_costs_a_list_a_post_polls_and_a_get(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S20
    cloud.clear_calls()

    controller.CreateSnapshot(create_snapshot(name, volume))

    called = cloud.operations_called()
    assert called[:2] == [LIST, CREATE]
    assert [each for each in called[2:] if each != POLL] == [GET]


def test_the_same_name_is_the_same_snapshot(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    first = controller.CreateSnapshot(create_snapshot(name, volume))

    second = controller.CreateSnapshot(create_snapshot(name, volume))

    assert second == first
    assert len(snapshots_named(cloud, name)) == 1


def test_the_same_name_of_another_volume_is_refused(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    other = controller.CreateVolume(create_volume(name)).volume.volume_id
    controller.CreateSnapshot(create_snapshot(name, volume))

    with refused(grpc.StatusCode.ALREADY_EXISTS, volume.split("/")[1], other):
        controller.CreateSnapshot(create_snapshot(name, other))


def test_a_slow_snapshot_is_named_only_once_it_is_ready(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18: the snapshotter keeps handle, size and time of the first answer for ever
    cloud.set_latency("snapshot", 3600.0)
    request = create_snapshot(name, volume)
    calls = [controller.CreateSnapshot.future(request)]
    wait_until_called(cloud, CREATE)
    calls.append(controller.CreateSnapshot.future(request, timeout=0.5))
    answered = [call for call in calls[1:] if call.exception() is None]  # waits for it to end
    calls[0].cancel()
    finish_snapshots(cloud)

    first, second = (
        as_a_sidecar_would(lambda: controller.CreateSnapshot(create_snapshot(name, volume)))
        for _ in range(2)
    )

    assert not answered
    assert first.snapshot.ready_to_use
    assert first == second
    assert cloud.operations_called().count(CREATE) == 1


@pytest.mark.parametrize("how_it_ends", ["well", "badly"])
def test_a_snapshot_is_the_same_in_every_answer_whatever_process_gives_it(
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    how_it_ends: str,
) -> None:  # S18: the sidecar would keep the first's handle and take the second's readiness
    cloud.set_latency("snapshot", 5.0)
    if how_it_ends == "badly":
        cloud.add_fault(fault="fail", operation=CREATE, reason="fault", count=1)
    request = create_snapshot(name, volume)
    dying = start_controller("--time-scale", "0.01")
    call = Controller(dying.channel).CreateSnapshot.future(request)
    wait_until_called(cloud, CREATE)
    with pytest.raises(grpc.RpcError):
        Controller(dying.channel).CreateSnapshot(request, timeout=2.0)
    dying.kill()
    answers = [] if call.exception() else [call.result().snapshot]
    cloud.set_latency("snapshot", 0.05)

    heir = Controller(start_controller().channel)
    answers += [as_a_sidecar_would(lambda: heir.CreateSnapshot(request)).snapshot for _ in range(2)]

    (taken,) = snapshots_named(cloud, name)
    assert {each.snapshot_id.split("/")[1] for each in answers} == {taken["id"]}
    assert all(each.ready_to_use for each in answers)


def test_a_name_may_be_used_again_once_its_snapshot_is_deleted(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18
    cloud.set_latency("snapshot", 2.0)
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.CreateSnapshot(create_snapshot(name, volume), timeout=0.5)
    cloud.set_latency("snapshot", 0.05)
    first = as_a_sidecar_would(lambda: controller.CreateSnapshot(create_snapshot(name, volume)))
    controller.DeleteSnapshot(delete_snapshot(first.snapshot.snapshot_id))

    second = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot

    assert second.snapshot_id != first.snapshot.snapshot_id
    assert [each["id"] for each in snapshots_named(cloud, name)] == [
        second.snapshot_id.split("/")[1]
    ]


@pytest.mark.parametrize("status", ["409", "400", "403", "422"])
@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("error", grpc.StatusCode.FAILED_PRECONDITION),
        ("deleting", grpc.StatusCode.NOT_FOUND),
        ("deleted", grpc.StatusCode.NOT_FOUND),
        ("creating", grpc.StatusCode.ABORTED),
        ("attaching", grpc.StatusCode.ABORTED),
        ("snapshotting", grpc.StatusCode.ABORTED),
    ],
)
def test_the_state_of_the_volume_says_why_no_snapshot_of_it_is_taken(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    state: str,
    code: grpc.StatusCode,
    status: str,
) -> None:  # S18, S4: whatever the status of the refusal; what is not final would be asked for ever
    cloud.set_mode("refusal-status", status)
    zone, uuid = volume.split("/")
    cloud.set_volume_state(zone, uuid, state)
    clone = create_volume(f"{name}-clone")
    clone.volume_content_source.volume.volume_id = volume

    with refused(code, volume, state):
        controller.CreateSnapshot(create_snapshot(name, volume))
    with refused(code, volume, state):
        controller.CreateVolume(clone)


@pytest.mark.parametrize(
    ("state", "code"),
    [("creating", grpc.StatusCode.ABORTED), ("promoting", grpc.StatusCode.FAILED_PRECONDITION)],
)
def test_the_state_of_a_snapshot_says_why_it_is_not_deleted(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    state: str,
    code: grpc.StatusCode,
) -> None:  # S18
    cloud.set_mode("refusal-status", "400")
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    zone, uuid = snapshot.split("/")
    cloud.set_snapshot_state(zone, uuid, state)

    with refused(code, snapshot):
        controller.DeleteSnapshot(delete_snapshot(snapshot))

    # Whether the API would refuse it is not known, and the restore needs it.
    assert state != "promoting" or DELETE not in cloud.operations_called()


def test_a_snapshot_that_is_destroyed_is_deleted(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    zone, uuid = snapshot.split("/")
    cloud.set_snapshot_state(zone, uuid, "destroyed")

    controller.DeleteSnapshot(delete_snapshot(snapshot))


def test_a_volume_that_does_not_exist_has_no_snapshots(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    with refused(grpc.StatusCode.NOT_FOUND, "volume"):
        controller.CreateSnapshot(create_snapshot(name, absent_id(cloud.zones[0])))


def test_the_21st_snapshot_of_a_volume_is_refused_so_that_it_can_be_deleted(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18: a final code, or the VolumeSnapshot could not be deleted
    for number in range(20):
        controller.CreateSnapshot(create_snapshot(f"{name}-{number}", volume))

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "has 20 and may have 20"):
        controller.CreateSnapshot(create_snapshot(name, volume))

    assert not snapshots_named(cloud, name)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_snapshot_whose_answer_is_lost_is_taken_once(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str, when: str
) -> None:  # C1, C6
    cloud.add_fault(fault="drop", operation=CREATE, when=when, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateSnapshot(create_snapshot(name, volume))
    controller.CreateSnapshot(create_snapshot(name, volume))

    assert len(snapshots_named(cloud, name)) == 1


@pytest.mark.parametrize("leaves", ["nothing", "error"])
def test_a_failed_snapshot_leaves_nothing_behind(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str, leaves: str
) -> None:  # S18, C1
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves=leaves, count=1)

    with refused(grpc.StatusCode.INTERNAL, "fault"):
        controller.CreateSnapshot(create_snapshot(name, volume))

    assert not snapshots_named(cloud, name)


def test_a_failed_snapshot_on_its_way_out_is_not_announced(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18, C1: its deletion may take longer than the call that began it
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves="error", count=1)
    cloud.add_fault(fault="drop", operation=DELETE, when="after", count=1)
    cloud.set_latency("delete-snapshot", 0.5)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateSnapshot(create_snapshot(name, volume))
    with refused(grpc.StatusCode.INTERNAL, "failed: fault"):  # what the first call could not say
        as_a_sidecar_would(lambda: controller.CreateSnapshot(create_snapshot(name, volume)))
    controller.CreateSnapshot(create_snapshot(name, volume))
    cloud.set_latency("delete-snapshot", 0.05)

    assert [each["state"] for each in snapshots_named(cloud, name)] == ["created"]


def test_a_list_that_lags_hides_no_snapshot_of_its_own_taking(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C1, S18
    cloud.set_mode("list-lag", "yes")
    first = controller.CreateSnapshot(create_snapshot(name, volume))

    assert controller.CreateSnapshot(create_snapshot(name, volume)) == first
    assert cloud.operations_called().count(CREATE) == 1


def test_a_snapshot_in_error_is_named_and_replaced_once_it_is_deleted(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    volume: str,
    name: str,
) -> None:  # S18: its driver died before it was ready, so no answer has named it
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    zone, uuid = snapshot.split("/")
    cloud.set_snapshot_state(zone, uuid, "error")

    with refused(grpc.StatusCode.INTERNAL, snapshot):
        controller.CreateSnapshot(create_snapshot(name, volume))
    administrator.delete_snapshot(snapshot)

    other = as_a_sidecar_would(lambda: controller.CreateSnapshot(create_snapshot(name, volume)))
    assert other.snapshot.ready_to_use
    assert other.snapshot.snapshot_id != snapshot


def test_a_snapshot_can_only_be_where_its_volume_is(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N17
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, cloud.zones[0]):
        controller.CreateSnapshot(create_snapshot(name, volume, zones=[cloud.zones[1]]))

    snapshot = controller.CreateSnapshot(create_snapshot(name, volume, zones=cloud.zones))
    assert snapshot.snapshot.snapshot_id.startswith(cloud.zones[0])


def test_delete_repeated_or_of_nonsense_is_done(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id

    for each in (snapshot, snapshot, absent_id(cloud.zones[0]), "nonsense"):
        controller.DeleteSnapshot(delete_snapshot(each))

    assert not snapshots_named(cloud, name)


def test_a_snapshot_outlives_its_volume(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18, S19
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    controller.DeleteVolume(delete_volume(volume))

    restored = controller.CreateVolume(create_volume(name, snapshot_id=snapshot)).volume
    listed = list_by_id(controller, snapshot)
    controller.DeleteSnapshot(delete_snapshot(snapshot))

    assert restored.content_source.snapshot.snapshot_id == snapshot
    assert listed == [snapshot]
    assert not snapshots_named(cloud, name)


def test_a_restore_from_a_snapshot_that_is_not_ready_waits(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    zone, uuid = snapshot.split("/")
    cloud.set_snapshot_state(zone, uuid, "creating")

    with refused(grpc.StatusCode.ABORTED, snapshot, "creating"):
        controller.CreateVolume(create_volume(name, snapshot_id=snapshot))


def test_get_snapshot_reads_one(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    taken = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot

    read = controller.GetSnapshot(csi_pb2.GetSnapshotRequest(snapshot_id=taken.snapshot_id))

    assert read.snapshot == taken
    with refused(grpc.StatusCode.NOT_FOUND):
        controller.GetSnapshot(csi_pb2.GetSnapshotRequest(snapshot_id=absent_id(cloud.zones[0])))


def test_lists_honour_both_filters(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18: the snapshotter takes the first entry unseen
    other = controller.CreateVolume(create_volume(name)).volume.volume_id
    mine = controller.CreateSnapshot(create_snapshot(f"{name}-1", volume)).snapshot.snapshot_id
    theirs = controller.CreateSnapshot(create_snapshot(f"{name}-2", other)).snapshot.snapshot_id

    assert list_by_id(controller, mine) == [mine]
    assert list_by_volume(controller, other) == [theirs]
    assert list_by_id(controller, mine, volume_id=other) == []
    assert list_by_id(controller, absent_id(cloud.zones[0])) == []
    assert list_by_id(controller, "nonsense") == []
    assert list_by_volume(controller, "nonsense") == []
    with refused(grpc.StatusCode.UNAVAILABLE, "xx-nowhere-1"):  # S12: perhaps a list with a hole
        list_by_volume(controller, absent_id("xx-nowhere-1"))


def list_by_id(controller: Controller, snapshot_id: str, *, volume_id: str = "") -> list[str]:
    request = csi_pb2.ListSnapshotsRequest(snapshot_id=snapshot_id, source_volume_id=volume_id)
    return [each.snapshot.snapshot_id for each in controller.ListSnapshots(request).entries]


def list_by_volume(controller: Controller, volume_id: str) -> list[str]:
    request = csi_pb2.ListSnapshotsRequest(source_volume_id=volume_id)
    return [each.snapshot.snapshot_id for each in controller.ListSnapshots(request).entries]


def finish_snapshots(cloud: SimulatorProcess) -> None:
    """End the operation that takes a snapshot."""
    (operation,) = (
        each
        for each in cloud.operations()
        if each["state"] == "pending" and each["kind"] == "snapshot"
    )
    cloud.finish_operation(operation["zone"], operation["id"])


def snapshots_named(cloud: SimulatorProcess, name: str) -> list[dict[str, Any]]:
    """Return what the cloud really holds under a name."""
    return [snapshot for snapshot in cloud.snapshots() if snapshot["name"] == name]


def test_an_older_snapshot_that_is_going_proves_nothing_of_a_lost_create(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C1, S18: a list may show the older one still, and the new one not yet
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateSnapshot(create_snapshot(name, volume))
    (made,) = (each for each in cloud.snapshots() if each["name"] == name)
    older = {**made, "id": str(uuid4()), "state": "destroying"}
    body = json.dumps({"block-storage-snapshots": [older]})
    cloud.add_fault(fault="garbage", operation=LIST, zone=made["zone"], body=body, count=1)

    answer = controller.CreateSnapshot(create_snapshot(name, volume))

    assert answer.snapshot.snapshot_id.endswith(made["id"])
    assert sum(each["name"] == name for each in cloud.snapshots()) == 1


def test_a_destroyed_snapshot_does_not_exist_any_more(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S18
    snapshot_id = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    zone, uuid = snapshot_id.split("/")
    cloud.set_snapshot_state(zone, uuid, "destroyed")

    with refused(grpc.StatusCode.NOT_FOUND, snapshot_id):
        controller.GetSnapshot(csi_pb2.GetSnapshotRequest(snapshot_id=snapshot_id))


def test_a_restore_beside_another_one_comes_again(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S4, S18: the snapshot's state explains the conflict
    snapshot_id = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    zone, uuid = snapshot_id.split("/")
    cloud.set_snapshot_state(zone, uuid, "promoting")

    with refused(grpc.StatusCode.ABORTED, snapshot_id, "another is restored"):
        controller.CreateVolume(create_volume(name, snapshot_id=snapshot_id))
