"""A clone is made by way of a snapshot that goes with the need for it (N6, S13)."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from csi_exoblock.controller.labels import unmarked
from csi_exoblock.pb import csi_pb2
from tests.controller.administrator import Administrator
from tests.controller.clocks import TWO_HOURS_AHEAD
from tests.controller.conftest import Controller, StartController, ids, truth
from tests.controller.requests import GIB, absent_id, create_snapshot, create_volume, delete_volume
from tests.controller.waiting import as_a_sidecar_would, wait_until_called
from tests.support.grpc_errors import refused
from tests.support.simulator_process import RecordedCall, SimulatorProcess
from tests.support.waiting import wait_until

SNAPSHOT = "create-block-storage-snapshot"
DELETE_SNAPSHOT = "delete-block-storage-snapshot"
UPDATE_SNAPSHOT = "update-block-storage-snapshot"
LIST_SNAPSHOTS = "list-block-storage-snapshots"
LIST_VOLUMES = "list-block-storage-volumes"
DELETE = "delete-block-storage-volume"
CREATE = "create-block-storage-volume"
# An hour in 1.8 s, but 40 s for an answer of the API; no flag is longer than a day.
HURRIED = ("--time-scale", "0.0005", "--api-timeout", "80000s")
AN_HOUR_OF_THE_HURRIED = 1.8  # seconds


def clone(name: str, source: str, gib: float = 0, **more: Any) -> csi_pb2.CreateVolumeRequest:
    request = create_volume(name, gib, **more)
    request.volume_content_source.volume.volume_id = source
    return request


def test_a_clone_names_its_source_and_leaves_no_snapshot(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    made = controller.CreateVolume(clone(name, volume, 2)).volume

    assert made.content_source.volume.volume_id == volume
    assert made.volume_context["format"] == "never"  # D1
    assert truth(cloud, made.volume_id)["size"] == 2
    assert truth(cloud, made.volume_id)["labels"]["exoblock/source"] == volume.split("/")[1]
    assert snapshots_of(cloud, volume) == []


def test_a_clone_may_ask_for_what_the_claim_of_its_source_asked_for(
    controller: Controller, start_controller: StartController, name: str
) -> None:  # C5: the source was rounded up as well
    modest = Controller(start_controller("--min-volume-size-gib", "10").channel)
    for driver, gib, made_gib in ((controller, 1500 / 1024, 2), (modest, 1, 10)):
        source = driver.CreateVolume(create_volume(f"{name}-{made_gib}", gib)).volume.volume_id

        made = driver.CreateVolume(clone(f"{name}-{made_gib}-clone", source, gib)).volume

        assert made.capacity_bytes == made_gib * GIB


def test_the_temporary_snapshot_says_what_it_is(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C6: `orphans` shows it meanwhile
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409)

    controller.CreateVolume(clone(name, volume))

    (snapshot,) = snapshots_of(cloud, volume)
    assert unmarked(snapshot["name"]) == f"clone-{name}"
    assert snapshot["labels"]["exoblock/clone-of"] == volume.split("/")[1]
    assert snapshot["labels"]["exoblock/driver"] == "exoblock.csi.exoscale.com"


def test_the_same_name_is_the_same_clone(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    first = controller.CreateVolume(clone(name, volume))

    second = controller.CreateVolume(clone(name, volume))

    assert second == first
    assert cloud.operations_called().count(CREATE) == 2  # the source's and the clone's
    assert snapshots_of(cloud, volume) == []


def test_the_same_name_of_another_source_is_refused(
    controller: Controller, volume: str, name: str
) -> None:  # D11
    controller.CreateVolume(clone(name, volume))
    other = controller.CreateVolume(create_volume(f"{name}-other")).volume.volume_id

    with refused(grpc.StatusCode.ALREADY_EXISTS, volume.split("/")[1]):
        controller.CreateVolume(clone(name, other))


def test_a_source_that_does_not_exist_is_not_found(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    for missing in (absent_id(cloud.zones[0]), "nonsense"):
        with refused(grpc.StatusCode.NOT_FOUND, missing):
            controller.CreateVolume(clone(name, missing))


def test_a_source_in_another_zone_is_named_with_its_zone(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S13
    here, there = cloud.zones[:2]

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, here):
        controller.CreateVolume(clone(name, volume, zones=[there]))

    assert snapshots_of(cloud, volume) == []


def test_a_clone_smaller_than_its_source_leaves_nothing(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1: a final answer means that nothing is left
    source = controller.CreateVolume(create_volume(f"{name}-source", 3)).volume.volume_id

    with refused(grpc.StatusCode.OUT_OF_RANGE, "3 GiB"):
        controller.CreateVolume(clone(name, source, 2))

    assert snapshots_of(cloud, source) == []


def test_a_clone_beyond_the_quota_leaves_nothing(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    cloud.set_quota("block-storage-volume", len(cloud.volumes()))
    try:
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "block-storage-volume"):
            controller.CreateVolume(clone(name, volume))
    finally:
        cloud.set_quota("block-storage-volume", 1000)

    assert snapshots_of(cloud, volume) == []


def test_no_final_answer_while_the_snapshot_of_a_failed_clone_remains(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C1
    cloud.set_quota("block-storage-volume", len(cloud.volumes()))
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409, count=1)
    try:
        with refused(grpc.StatusCode.UNAVAILABLE, "temporary snapshot"):
            controller.CreateVolume(clone(name, volume))
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED):
            controller.CreateVolume(clone(name, volume))
    finally:
        cloud.set_quota("block-storage-volume", 1000)

    assert snapshots_of(cloud, volume) == []


@pytest.mark.parametrize("operation", [SNAPSHOT, CREATE, DELETE_SNAPSHOT])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_makes_no_second_clone(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    operation: str,
    when: str,
) -> None:  # C1
    cloud.add_fault(fault="drop", operation=operation, when=when, count=1)

    made = as_a_sidecar_would(lambda: controller.CreateVolume(clone(name, volume))).volume
    controller.DeleteVolume(delete_volume(made.volume_id))

    assert [each for each in cloud.volumes() if each["name"] == name] == []
    assert snapshots_of(cloud, volume) == []


@pytest.mark.parametrize("operation", [SNAPSHOT, CREATE, DELETE_SNAPSHOT])
def test_a_clone_goes_on_in_another_process(
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    operation: str,
) -> None:  # F16: each of its steps leaves what the next process finds
    dying = start_controller()
    cloud.add_fault(fault="delay", operation=operation, when="after", seconds=60, count=1)
    call = Controller(dying.channel).CreateVolume.future(clone(name, volume))
    while not any(rule["fired"] for rule in cloud.faults()):
        assert not call.done()
    dying.kill()
    cloud.clear_faults()

    heir = Controller(start_controller().channel)
    made = as_a_sidecar_would(lambda: heir.CreateVolume(clone(name, volume))).volume

    named = [each for each in cloud.volumes() if each["name"] == name]
    assert [each["id"] for each in named] == [made.volume_id.split("/")[1]]
    assert snapshots_of(cloud, volume) == []


def test_a_pod_that_moved_is_told_where_its_clone_is_whatever_becomes_of_the_snapshot(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6, C3: the clone that was made keeps its snapshot
    here, elsewhere = cloud.zones[:2]
    cloud.set_mode("delete-restored-snapshot", "after-volume")
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(clone(name, volume, zones=[here]))

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, here):
        controller.CreateVolume(clone(name, volume, zones=[elsewhere]))
    made = controller.CreateVolume(clone(name, volume, zones=[here])).volume

    assert cloud.operations_called().count(CREATE) == 2  # the source, and one clone
    controller.DeleteVolume(delete_volume(made.volume_id))
    assert not snapshots_of(cloud, volume)


def test_a_snapshot_whose_deletion_hangs_does_not_hold_the_clone(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6
    cloud.add_fault(fault="hang", operation=DELETE_SNAPSHOT)
    patient = Controller(start_controller("--time-scale", "0.5").channel)  # follows it for 45 s

    made = patient.CreateVolume(clone(name, volume), timeout=40).volume

    assert truth(cloud, made.volume_id)["state"] == "detached"


@pytest.mark.parametrize("mode", ["after-restore", "after-volume"])
def test_a_snapshot_that_may_not_go_yet_goes_with_the_clone(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str, mode: str
) -> None:
    cloud.set_mode("delete-restored-snapshot", mode)

    made = controller.CreateVolume(clone(name, volume)).volume.volume_id
    controller.DeleteVolume(delete_volume(made))

    assert snapshots_of(cloud, volume) == []


def test_a_delete_whose_process_died_leaves_no_snapshot_of_a_clone(
    start_controller: StartController,
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
) -> None:  # C6: the replay finds neither volume
    cloud.set_mode("delete-restored-snapshot", "after-volume")
    made = controller.CreateVolume(clone(name, volume)).volume.volume_id
    dying = start_controller()
    delete = Controller(dying.channel).DeleteVolume
    calls = [delete.future(delete_volume(each)) for each in (volume, made)]
    wait_until_called(cloud, DELETE, times=len(calls))
    dying.kill()

    for each in (volume, made):
        controller.DeleteVolume(delete_volume(each))

    assert snapshots_of(cloud, volume) == []


def test_a_source_that_a_list_does_not_show_yet_keeps_the_snapshot_of_its_clone(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
) -> None:  # N6, C1: another process makes the clone
    cloud.add_fault(fault="drop", operation=CREATE, when="before", count=1)
    other = Controller(start_controller().channel)
    with refused(grpc.StatusCode.UNAVAILABLE):
        other.CreateVolume(clone(name, volume))
    body = json.dumps({"block-storage-volumes": []})
    rule = cloud.add_fault(fault="garbage", operation=LIST_VOLUMES, body=body)

    controller.DeleteVolume(delete_volume(absent_id(cloud.zones[0])))

    cloud.remove_fault(rule)
    assert len(snapshots_of(cloud, volume)) == 1
    as_a_sidecar_would(lambda: other.CreateVolume(clone(name, volume)))


def test_a_source_that_was_deleted_keeps_the_snapshot_of_a_clone_under_way(
    controller: Controller,
    administrator: Administrator,
    cloud: SimulatorProcess,
    name: str,
) -> None:  # N6: the clone can still be made
    cloud.add_volumes(cloud.zones[0], 1, name)  # by hand: this process knows of nothing too new
    (volume,) = (f"{each['zone']}/{each['id']}" for each in cloud.volumes() if name in each["name"])
    cloud.add_fault(fault="drop", operation=CREATE, when="before", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(clone(name, volume))
    administrator.delete_volume(volume)
    wait_until(lambda: volume not in ids(cloud))

    controller.DeleteVolume(delete_volume(absent_id(cloud.zones[0])))

    assert len(snapshots_of(cloud, volume)) == 1


def test_a_snapshot_whose_labels_were_dropped_gets_them(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C6: without them nobody could tell it from a user's
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409)

    Controller(start_controller().channel).CreateVolume(clone(name, volume))

    (snapshot,) = snapshots_of(cloud, volume)
    assert snapshot["labels"]["exoblock/clone-of"] == volume.split("/")[1]


def test_no_clone_is_made_from_a_snapshot_that_has_no_labels_yet(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6: the process may die, and nobody else would find the snapshot
    controller = Controller(start_controller().channel)
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="refuse", operation=UPDATE_SNAPSHOT, status=500, count=100)

    with refused(grpc.StatusCode.UNAVAILABLE, "temporary snapshot", "can't be labelled"):
        controller.CreateVolume(clone(name, volume))
    assert not [each for each in cloud.volumes() if each["name"] == name]
    cloud.clear_faults()
    controller.CreateVolume(clone(name, volume))

    assert snapshots_of(cloud, volume) == []


def test_a_clone_whose_snapshot_lost_its_answer_and_its_labels_is_made(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6: the process knows it by the mark in its name
    controller = Controller(start_controller().channel)
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="drop", operation=SNAPSHOT, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(clone(name, volume))

    made = as_a_sidecar_would(lambda: controller.CreateVolume(clone(name, volume))).volume

    assert made.content_source.volume.volume_id == volume
    assert cloud.operations_called().count(SNAPSHOT) == 1
    assert snapshots_of(cloud, volume) == []


def test_a_snapshot_without_labels_that_a_dead_process_took_is_named(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6: nothing proves that it is no user's, and no second one is left beside it
    dead = start_controller()
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="drop", operation=SNAPSHOT, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        Controller(dead.channel).CreateVolume(clone(name, volume))
    dead.stop()
    (left,) = snapshots_of(cloud, volume)
    successor = Controller(start_controller().channel)

    with refused(grpc.StatusCode.ALREADY_EXISTS, left["id"], "delete it"):
        as_a_sidecar_would(lambda: successor.CreateVolume(clone(name, volume)))

    assert [each["id"] for each in snapshots_of(cloud, volume)] == [left["id"]]


def test_the_source_can_be_deleted_though_a_clone_left_its_snapshot(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S19
    cloud.set_mode("delete-with-snapshots", "refused")
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409, count=1)
    controller.CreateVolume(clone(name, volume))

    controller.DeleteVolume(delete_volume(volume))

    assert truth_or_none(cloud, volume) is None
    assert snapshots_of(cloud, volume) == []


def test_a_source_takes_only_the_snapshots_with_it_that_were_taken_of_it(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6: another clone may just be made from the others
    other = controller.CreateVolume(create_volume(f"{name}-other")).volume.volume_id
    rule = cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409)
    for source in (volume, other):
        controller.CreateVolume(clone(f"{name}-of-{source}", source))
    cloud.remove_fault(rule)

    controller.DeleteVolume(delete_volume(other))

    assert snapshots_of(cloud, other) == []
    assert len(snapshots_of(cloud, volume)) == 1


def test_a_temporary_snapshot_of_another_driver_is_not_touched(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
) -> None:  # N6, D12: it may be needed there still
    another = start_controller("--driver-name", "another.csi.example.com")
    rule = cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409)
    request = clone(name, volume)
    as_a_sidecar_would(lambda: Controller(another.channel).CreateVolume(request))
    cloud.remove_fault(rule)
    another.stop()
    (theirs,) = snapshots_of(cloud, volume)

    controller.DeleteVolume(delete_volume(volume))

    assert theirs["id"] in [each["id"] for each in cloud.snapshots()]


def test_a_users_snapshot_is_not_touched(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    kept = controller.CreateSnapshot(create_snapshot(f"clone-{name}-x", volume)).snapshot

    made = controller.CreateVolume(clone(name, volume)).volume.volume_id
    controller.DeleteVolume(delete_volume(made))
    controller.DeleteVolume(delete_volume(volume))

    left = [f"{each['zone']}/{each['id']}" for each in cloud.snapshots()]
    assert kept.snapshot_id in left


def test_every_snapshot_in_the_way_of_a_clone_is_named(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    volume: str,
    name: str,
) -> None:  # N6, F11: one can be what the driver took before it died, without its labels
    for _ in range(2):
        administrator.take_snapshot(volume, f"clone-{name}")
    ids = [each["id"] for each in snapshots_of(cloud, volume)]

    with refused(grpc.StatusCode.ALREADY_EXISTS, *ids, "delete them"):
        controller.CreateVolume(clone(name, volume))


@pytest.mark.parametrize("of_the_driver", [True, False], ids=["of CSI", "of the vendor's tools"])
def test_a_users_snapshot_is_not_taken_for_a_temporary_one_of_its_name(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    volume: str,
    name: str,
    of_the_driver: bool,
) -> None:  # N6: it was restored from and then deleted
    if of_the_driver:
        controller.CreateSnapshot(create_snapshot(f"clone-{name}", volume))
    else:
        administrator.take_snapshot(volume, f"clone-{name}")
    (kept,) = snapshots_of(cloud, volume)

    with refused(grpc.StatusCode.ALREADY_EXISTS, kept["id"], "no temporary snapshot"):
        controller.CreateVolume(clone(name, volume))

    assert [each["id"] for each in snapshots_of(cloud, volume)] == [kept["id"]]


def test_a_temporary_snapshot_is_not_given_to_the_user_who_has_its_name(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6: it goes with the need for it
    rule = cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409)
    made = controller.CreateVolume(clone(name, volume)).volume.volume_id
    (temporary,) = snapshots_of(cloud, volume)

    taken = controller.CreateSnapshot(create_snapshot(f"clone-{name}", volume)).snapshot
    cloud.remove_fault(rule)
    controller.DeleteVolume(delete_volume(made))

    left = [each["id"] for each in snapshots_of(cloud, volume)]
    assert left == [taken.snapshot_id.split("/")[1]]
    assert temporary["id"] not in left


def test_a_clone_of_another_source_keeps_the_snapshot_of_the_first(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6: the first clone is not made yet
    other = controller.CreateVolume(create_volume(f"{name}-other")).volume.volume_id
    cloud.add_fault(fault="refuse", operation=CREATE, status=503, count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(clone(name, volume))
    (first,) = snapshots_of(cloud, volume)

    with refused(grpc.StatusCode.ALREADY_EXISTS, first["id"]):
        controller.CreateVolume(clone(name, other))

    assert [each["id"] for each in snapshots_of(cloud, volume)] == [first["id"]]
    as_a_sidecar_would(lambda: controller.CreateVolume(clone(name, volume)))
    assert snapshots_of(cloud, volume) == []


def test_what_a_dead_process_left_is_swept(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:
    dying = start_controller()
    fault = cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409)
    Controller(dying.channel).CreateVolume(clone(name, volume))
    dying.kill()
    cloud.remove_fault(fault)
    assert len(snapshots_of(cloud, volume)) == 1

    hurried = start_controller(*HURRIED)
    wait_until(lambda: not snapshots_of(cloud, volume))

    hurried.stop()  # or it sweeps on


def test_a_snapshot_that_stays_destroying_keeps_no_other_from_the_sweep(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6, S3: neither one of its zone nor one of the next
    dying = start_controller()
    controller = Controller(dying.channel)
    elsewhere = create_volume(f"{name}-elsewhere", zones=[cloud.zones[1]])
    far = controller.CreateVolume(elsewhere).volume.volume_id
    fault = cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409)
    controller.CreateVolume(clone(f"{name}-stuck", volume))
    (stuck,) = snapshots_of(cloud, volume)
    controller.CreateVolume(clone(name, volume))
    controller.CreateVolume(clone(f"{name}-far", far, zones=[cloud.zones[1]]))
    dying.kill()
    cloud.set_snapshot_state(stuck["zone"], stuck["id"], "destroying")
    cloud.remove_fault(fault)
    assert (len(snapshots_of(cloud, volume)), len(snapshots_of(cloud, far))) == (2, 1)

    hurried = start_controller(*HURRIED)
    wait_until(lambda: not snapshots_of(cloud, far))
    wait_until(lambda: [each["id"] for each in snapshots_of(cloud, volume)] == [stuck["id"]])

    hurried.stop()


@pytest.mark.parametrize("created_at", [None, "2020-01-01T00:00:00Z"])
def test_a_snapshot_is_not_swept_at_first_sight_whatever_its_age(
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    created_at: str | None,
) -> None:  # N6: it may be that of a clone under way, and have taken hours itself
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409, count=1)
    Controller(start_controller().channel).CreateVolume(clone(name, volume))
    (left,) = snapshots_of(cloud, volume)
    del left["created-at"]
    left |= {"created-at": created_at} if created_at else {}
    body = json.dumps({"block-storage-snapshots": [left]})
    cloud.add_fault(fault="garbage", operation=LIST_SNAPSHOTS, zone=left["zone"], body=body)
    cloud.clear_calls()

    hurried = start_controller(*HURRIED)
    while snapshots_of(cloud, volume):
        pass

    hurried.stop()
    called = [each.operation for each in cloud.calls() if each.zone == left["zone"]]
    before = called[: called.index(DELETE_SNAPSHOT)]
    assert before.count(LIST_SNAPSHOTS) >= 3  # the first at start, then two sweeps


def test_a_young_snapshot_is_not_swept(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6: another process may just make a clone from it
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409, count=1)
    Controller(start_controller().channel).CreateVolume(clone(name, volume))
    (left,) = snapshots_of(cloud, volume)
    old = {**left, "id": str(uuid4()), "created-at": "2020-01-01T00:00:00Z"}
    young = {**left, "created-at": "2999-01-01T00:00:00Z"}
    body = json.dumps({"block-storage-snapshots": [young, old]})
    cloud.add_fault(fault="garbage", operation=LIST_SNAPSHOTS, zone=left["zone"], body=body)
    cloud.clear_calls()

    hurried = start_controller(*HURRIED)
    wait_until(lambda: old["id"] in {each.resource for each in cloud.calls()})  # it is swept last

    hurried.stop()
    assert DELETE_SNAPSHOT not in cloud.operations_called()


def test_a_driver_that_has_just_started_sweeps_nothing_yet(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # N6, S20: one that starts again and again would do nothing else
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409, count=1)
    Controller(start_controller().channel).CreateVolume(clone(name, volume))
    (left,) = snapshots_of(cloud, volume)
    body = json.dumps({"block-storage-snapshots": [{**left, "created-at": "2020-01-01T00:00:00Z"}]})
    cloud.add_fault(fault="garbage", operation=LIST_SNAPSHOTS, zone=left["zone"], body=body)
    cloud.clear_calls()

    usual = Controller(start_controller().channel)
    wait_until_called(cloud, LIST_SNAPSHOTS, times=len(cloud.zones))
    for number in range(3):  # which takes far longer than a sweep
        usual.CreateVolume(create_volume(f"{name}-{number}"))

    assert DELETE_SNAPSHOT not in cloud.operations_called()


@pytest.mark.parametrize("status", [400, 403])
def test_a_snapshot_stays_while_the_clone_may_be_on_its_way(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str, status: int
) -> None:  # N6, C1: its content comes from there
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(clone(name, volume))
    cloud.add_fault(fault="refuse", operation=LIST_VOLUMES, status=status, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE, "outcome not known yet"):
        controller.CreateVolume(clone(name, volume))

    assert len(snapshots_of(cloud, volume)) == 1
    controller.CreateVolume(clone(name, volume))
    assert snapshots_of(cloud, volume) == []


@pytest.mark.parametrize("state", ["", "promoting", "creating", "allocated"])
def test_the_sweep_spares_the_snapshot_of_a_clone_that_takes_hours(
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    state: str,
) -> None:  # N6: also that of another replica; a clone without a state of its snapshot shows it
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409, count=1)
    made = Controller(start_controller().channel).CreateVolume(clone(name, volume)).volume
    (left,) = snapshots_of(cloud, volume)
    zone, uuid = made.volume_id.split("/")
    if state:
        cloud.set_snapshot_state(zone, left["id"], state)
    else:
        cloud.set_volume_state(zone, uuid, "creating")
    cloud.clear_calls()

    hurried = start_controller(*HURRIED)
    wait_until_called(cloud, LIST_SNAPSHOTS, times=4 * len(cloud.zones))  # three sweeps
    assert not [each for each in cloud.calls() if is_deletion(each, left["id"])]
    cloud.set_volume_state(zone, uuid, "detached")
    usable_at = time.time()
    cloud.set_snapshot_state(zone, left["id"], "created")

    wait_until(lambda: not snapshots_of(cloud, volume))
    hurried.stop()
    (deletion,) = (each for each in cloud.calls() if is_deletion(each, left["id"]))
    assert not state or deletion.at - usable_at > AN_HOUR_OF_THE_HURRIED


def test_the_sweep_tells_ages_by_the_time_of_the_cloud(
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    tmp_path: Path,
) -> None:  # N6, F16: a replica's own clock may be ahead, and the clone be made by another
    cloud.add_fault(fault="refuse", operation=DELETE_SNAPSHOT, status=409, count=1)
    Controller(start_controller().channel).CreateVolume(clone(name, volume))
    (left,) = snapshots_of(cloud, volume)
    left["created-at"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = json.dumps({"block-storage-snapshots": [left]})
    cloud.add_fault(fault="garbage", operation=LIST_SNAPSHOTS, zone=left["zone"], body=body)
    cloud.clear_calls()
    (tmp_path / "sitecustomize.py").write_text(TWO_HOURS_AHEAD)

    hurried = start_controller(*HURRIED, PYTHONPATH=str(tmp_path))
    wait_until_called(cloud, LIST_SNAPSHOTS, times=10)  # two zones: at start, then four sweeps
    hurried.stop()

    assert DELETE_SNAPSHOT not in cloud.operations_called()


def test_cloning_can_be_switched_off(
    start_controller: StartController, volume: str, name: str
) -> None:
    without = Controller(start_controller("--clone-by-snapshot", "false").channel)
    rpc = csi_pb2.ControllerServiceCapability.RPC
    offered = without.ControllerGetCapabilities(csi_pb2.ControllerGetCapabilitiesRequest())

    with refused(grpc.StatusCode.INVALID_ARGUMENT, "--clone-by-snapshot"):
        without.CreateVolume(clone(name, volume))

    assert rpc.CLONE_VOLUME not in [each.rpc.type for each in offered.capabilities]


def is_deletion(call: RecordedCall, snapshot: str) -> bool:
    return call.operation == DELETE_SNAPSHOT and call.resource == snapshot


def truth_or_none(cloud: SimulatorProcess, volume_id: str) -> dict[str, Any] | None:
    uuid = volume_id.split("/")[1]
    return next((each for each in cloud.volumes() if each["id"] == uuid), None)


def snapshots_of(cloud: SimulatorProcess, volume_id: str) -> list[dict[str, Any]]:
    uuid = volume_id.split("/")[1]
    return [
        each
        for each in cloud.snapshots()
        if (each.get("block-storage-volume") or {}).get("id") == uuid
        or each["labels"].get("exoblock/clone-of") == uuid
    ]
