"""CreateVolume: one volume for each name, whatever gets lost on the way (C1, C5, D11)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.administrator import Administrator
from tests.controller.conftest import Controller, StartController, truth
from tests.controller.requests import (
    GIB,
    TOPOLOGY_KEY,
    create_snapshot,
    create_volume,
    delete_volume,
)
from tests.controller.waiting import as_a_sidecar_would, wait_until_called
from tests.support.grpc_errors import outcome, refused
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

CREATE = "create-block-storage-volume"
LIST = "list-block-storage-volumes"
POLL = "get-operation"
RESIZE = "resize-block-storage-volume"


def test_create_makes_one_volume_and_says_where_it_is(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    answer = controller.CreateVolume(create_volume(name, 3)).volume

    (volume,) = volumes_named(cloud, name)
    assert answer.volume_id == f"{volume['zone']}/{volume['id']}"
    assert answer.capacity_bytes == 3 * GIB
    assert volume["size"] == 3
    assert [dict(each.segments) for each in answer.accessible_topology] == [
        {TOPOLOGY_KEY: cloud.zones[0]}
    ]


def test_create_costs_a_list_a_post_and_polls(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # S20
    controller.CreateVolume(create_volume(name))

    called = called_in_zone(cloud)
    assert called[:2] == [LIST, CREATE]
    assert set(called[2:]) <= {POLL}


def test_creates_at_once_share_their_lists(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # S20, S21
    names = [f"{name}-{number}" for number in range(20)]
    cloud.add_fault(fault="delay", operation=LIST, seconds=0.3)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda each: controller.CreateVolume(create_volume(each)), names))

    called = called_in_zone(cloud)
    assert called.count(CREATE) == len(names)
    before = called[: called.index(CREATE)]
    assert before.count(LIST) <= 3
    assert called.count(LIST) + called.count(POLL) < len(names)
    assert all(len(volumes_named(cloud, each)) == 1 for each in names)


def test_volumes_carry_our_labels(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C4
    parameters = {
        "csi.storage.k8s.io/pv/name": name,
        "csi.storage.k8s.io/pvc/name": "claim",
        "csi.storage.k8s.io/pvc/namespace": "space",
        "labels": "team=storage",
    }

    controller.CreateVolume(create_volume(name, parameters=parameters))

    (volume,) = volumes_named(cloud, name)
    assert volume["labels"] == {
        "team": "storage",
        "exoblock/driver": "exoblock.csi.exoscale.com",
        "exoblock/name": name,
        "exoblock/pv": name,
        "exoblock/pvc": "claim",
        "exoblock/namespace": "space",
    }


@pytest.mark.parametrize(
    ("gib", "limit_gib", "expected_gib"),
    [(0, 0, 1), (0.5, 0, 1), (1500 / 1024, 0, 2), (2, 2, 2), (1.5, 2, 2)],
)
def test_sizes_are_rounded_up_to_gib(
    controller: Controller,
    cloud: SimulatorProcess,
    name: str,
    gib: float,
    limit_gib: float,
    expected_gib: int,
) -> None:  # C5
    answer = controller.CreateVolume(create_volume(name, gib, limit_gib=limit_gib))

    assert answer.volume.capacity_bytes == expected_gib * GIB


@pytest.mark.parametrize(("gib", "limit_gib"), [(1.2, 1.5), (10241, 0), (0, 0.5)])
def test_sizes_that_cannot_be_had_are_out_of_range(
    controller: Controller, cloud: SimulatorProcess, name: str, gib: float, limit_gib: float
) -> None:  # C5
    with refused(grpc.StatusCode.OUT_OF_RANGE, "GiB"):
        controller.CreateVolume(create_volume(name, gib, limit_gib=limit_gib))

    assert not volumes_named(cloud, name)


def test_create_repeated_returns_the_same_volume_without_a_second_post(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D11
    first = controller.CreateVolume(create_volume(name, 2))
    cloud.clear_calls()

    second = controller.CreateVolume(create_volume(name, 2))

    assert second == first
    assert called_in_zone(cloud) == [LIST]


def test_create_with_same_name_and_other_size_is_refused(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D11
    controller.CreateVolume(create_volume(name, 2))

    with refused(grpc.StatusCode.ALREADY_EXISTS, "size is 2 GiB"):
        controller.CreateVolume(create_volume(name, 3))


def test_create_with_same_name_and_other_source_is_refused(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D11
    source = controller.CreateVolume(create_volume(f"{name}-source")).volume.volume_id
    snapshot = controller.CreateSnapshot(create_snapshot(name, source)).snapshot.snapshot_id
    controller.CreateVolume(create_volume(name))

    with refused(grpc.StatusCode.ALREADY_EXISTS, "made from nothing"):
        controller.CreateVolume(create_volume(name, snapshot_id=snapshot))


@pytest.mark.parametrize("state", ["deleting", "deleted", "error"])
def test_a_volume_that_cannot_be_used_is_not_adopted(
    controller: Controller, cloud: SimulatorProcess, name: str, state: str
) -> None:  # D11
    controller.CreateVolume(create_volume(name))
    (volume,) = volumes_named(cloud, name)
    cloud.set_volume_state(volume["zone"], volume["id"], state)

    with refused(grpc.StatusCode.ALREADY_EXISTS, state):
        controller.CreateVolume(create_volume(name))


def test_a_volume_of_another_cluster_is_not_adopted(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    name: str,
) -> None:  # D11
    foreign = start_controller("--cluster-id", "another")
    Controller(foreign.channel).CreateVolume(create_volume(name))

    with refused(grpc.StatusCode.ALREADY_EXISTS, "another cluster"):
        controller.CreateVolume(create_volume(name))


def test_two_volumes_of_one_name_are_both_named(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D11
    cloud.add_volumes(cloud.zones[0], 1, prefix=name)
    (volume,) = (each for each in cloud.volumes() if each["name"].startswith(name))
    cloud.add_volumes(cloud.zones[0], 1, prefix=name)

    with refused(grpc.StatusCode.ALREADY_EXISTS, volume["id"]):
        controller.CreateVolume(create_volume(volume["name"]))


@pytest.mark.parametrize("is_labelled", [True, False])
def test_of_two_volumes_of_one_name_one_is_put_aside_by_its_label(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    name: str,
    is_labelled: bool,
) -> None:  # D11, F11: the remedy that the message names; another name in the cloud would not do
    zone = cloud.zones[0]
    cloud.add_volumes(zone, 1, prefix=name)
    (twin,) = (each for each in cloud.volumes() if each["name"].startswith(name))
    request = create_volume(twin["name"])
    made = controller.CreateVolume(request).volume.volume_id
    cloud.add_volumes(zone, 1, prefix=name)
    (twin,) = (each for each in volumes_named(cloud, twin["name"]) if each["id"] not in made)
    handle = f"{zone}/{twin['id']}"
    if is_labelled:
        administrator.label_volume(handle, truth(cloud, made)["labels"])
        administrator.rename_volume(handle, f"{name}-renamed")
    with refused(
        grpc.StatusCode.ALREADY_EXISTS,
        made,
        handle,
        "delete all but one, or give the others another value of label exoblock/name",
    ):
        controller.CreateVolume(request)

    administrator.label_volume(handle, {"exoblock/name": f"{name}-aside"})

    assert controller.CreateVolume(request).volume.volume_id == made


def test_a_volume_without_labels_is_adopted_and_labelled(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D11, C4: the API dropped them, or the maker died before it could repair them
    cloud.add_volumes(cloud.zones[0], 1, prefix=name)
    (volume,) = (each for each in cloud.volumes() if each["name"].startswith(name))

    answer = controller.CreateVolume(create_volume(volume["name"], volume["size"]))

    assert answer.volume.volume_id.endswith(volume["id"])
    (adopted,) = volumes_named(cloud, volume["name"])
    assert adopted["labels"]["exoblock/name"] == volume["name"]


def test_a_volume_without_labels_that_somebody_uses_is_not_adopted(
    controller: Controller,
    cloud: SimulatorProcess,
    administrator: Administrator,
    name: str,
    node: str,
) -> None:  # D11
    cloud.add_volumes(cloud.zones[0], 1, prefix=name)
    (volume,) = volumes_named(cloud, f"{name}0")
    administrator.attach_volume(f"{volume['zone']}/{volume['id']}", node)

    with refused(grpc.StatusCode.ALREADY_EXISTS, "no label of this driver", node.split("/")[1]):
        controller.CreateVolume(create_volume(f"{name}0"))

    assert volumes_named(cloud, f"{name}0")[0]["labels"] == {}


@pytest.mark.parametrize(
    "labels",
    [
        {"exoblock/driver": "exoblock.csi.exoscale.com"},
        {"exoblock/driver": "exoblock.csi.exoscale.com", "exoblock/cluster-id": "another"},
        {"exoblock/driver": "csi.exoscale.com", "exoblock/cluster-id": ""},
    ],
    ids=["of no cluster", "of another cluster", "of another driver"],
)
def test_a_cluster_with_an_id_adopts_only_what_carries_it(
    start_controller: StartController,
    cloud: SimulatorProcess,
    administrator: Administrator,
    name: str,
    labels: dict[str, str],
) -> None:  # D11
    ours = Controller(start_controller("--cluster-id", "ours").channel)
    cloud.add_volumes(cloud.zones[0], 2, prefix=name)
    (foreign,) = volumes_named(cloud, f"{name}0")
    administrator.label_volume(f"{foreign['zone']}/{foreign['id']}", labels)

    with refused(grpc.StatusCode.ALREADY_EXISTS, "another cluster or driver"):
        ours.CreateVolume(create_volume(f"{name}0"))
    ours.CreateVolume(create_volume(f"{name}1"))

    assert volumes_named(cloud, f"{name}1")[0]["labels"]["exoblock/cluster-id"] == "ours"


def test_a_volume_without_labels_that_is_smaller_than_the_source_is_no_restore_of_it(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # D11: it would be handed out without the data
    source = controller.CreateVolume(create_volume(f"{name}-source", 2)).volume.volume_id
    snapshot = controller.CreateSnapshot(create_snapshot(name, source)).snapshot.snapshot_id
    cloud.add_volumes(cloud.zones[0], 1, prefix=f"{name}-made-")

    with refused(grpc.StatusCode.ALREADY_EXISTS, "it has 1 GiB, its source 2 GiB"):
        controller.CreateVolume(create_volume(f"{name}-made-0", 2, snapshot_id=snapshot))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_post_whose_answer_is_lost_makes_one_volume(
    controller: Controller, cloud: SimulatorProcess, name: str, when: str
) -> None:  # C1
    cloud.add_fault(fault="drop", operation=CREATE, when=when, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name))
    answer = controller.CreateVolume(create_volume(name))

    (volume,) = volumes_named(cloud, name)
    assert answer.volume.volume_id.endswith(volume["id"])
    assert cloud.operations_called().count(CREATE) == (2 if when == "before" else 1)


def test_a_lost_post_is_looked_for_twice_before_it_is_sent_again(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C1: the list may lag behind the POST
    zone, _, id = volume.partition("/")
    cloud.set_volume_state(zone, id, "creating")
    controller.ListVolumes(csi_pb2.ListVolumesRequest())  # such a list hides nothing unfinished
    cloud.set_volume_state(zone, id, "detached")
    cloud.add_fault(fault="drop", operation=CREATE, when="before", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name))
    cloud.clear_calls()

    controller.CreateVolume(create_volume(name))

    assert called_in_zone(cloud)[:3] == [LIST, LIST, CREATE]


def test_no_final_code_while_the_outcome_of_a_post_is_unknown(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1, second rule of the error table
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name))
    rule = cloud.add_fault(fault="refuse", operation=LIST, status=403)

    with refused(grpc.StatusCode.UNAVAILABLE, "outcome not known yet"):
        controller.CreateVolume(create_volume(name))
    cloud.remove_fault(rule)
    controller.CreateVolume(create_volume(name))

    assert len(volumes_named(cloud, name)) == 1


def test_a_retry_after_a_restart_finds_the_volume(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C1
    cloud.set_latency("create", 1.0)
    dying = start_controller()
    call = Controller(dying.channel).CreateVolume.future(create_volume(name))
    wait_until_called(cloud, CREATE)
    dying.kill()
    call.cancel()

    answer = Controller(start_controller().channel).CreateVolume(create_volume(name))
    cloud.set_latency("create", 0.05)

    (volume,) = volumes_named(cloud, name)
    assert answer.volume.volume_id.endswith(volume["id"])
    assert cloud.operations_called().count(CREATE) == 1


def test_a_retry_joins_the_operation_of_a_call_that_ran_out_of_time(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1, S3
    cloud.set_latency("create", 1.0)

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.CreateVolume(create_volume(name), timeout=0.5)
    cloud.set_latency("create", 0.05)
    as_a_sidecar_would(lambda: controller.CreateVolume(create_volume(name)))

    assert cloud.operations_called().count(CREATE) == 1
    assert len(volumes_named(cloud, name)) == 1


def test_a_list_that_lags_hides_no_volume_of_its_own_making(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1
    cloud.set_mode("list-lag", "yes")
    first = controller.CreateVolume(create_volume(name))

    assert controller.CreateVolume(create_volume(name)) == first
    assert cloud.operations_called().count(CREATE) == 1


def test_a_list_that_lags_hides_no_volume_that_a_retry_took_over(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1: the caller may lose the answer of the retry, too
    cloud.set_mode("list-lag", "yes")
    cloud.set_latency("create", 1.0)
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.CreateVolume(create_volume(name), timeout=0.5)
    cloud.set_latency("create", 0.05)
    first = as_a_sidecar_would(lambda: controller.CreateVolume(create_volume(name)))

    assert controller.CreateVolume(create_volume(name)) == first
    assert cloud.operations_called().count(CREATE) == 1


@pytest.mark.parametrize("leaves", ["nothing", "error"])
def test_a_failed_operation_leaves_nothing_behind(
    controller: Controller, cloud: SimulatorProcess, name: str, leaves: str
) -> None:  # C1: final, because what the failed creation left was deleted
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves=leaves, count=1)

    with refused(grpc.StatusCode.INTERNAL, "fault"):
        controller.CreateVolume(create_volume(name))

    assert not volumes_named(cloud, name)


@pytest.mark.parametrize("state", ["error", "detached"])
def test_what_a_failed_create_names_by_mistake_is_neither_deleted_nor_answered(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str, state: str
) -> None:  # D11, D12: it is another claim's, which has asked Exoscale's support about it
    zone, _, uuid = volume.partition("/")
    cloud.set_volume_state(zone, uuid, state)
    failed = {"id": str(uuid4()), "state": "failure", "reason": "fault", "reference": {"id": uuid}}
    cloud.add_fault(fault="refuse", operation=CREATE, status=200, body=json.dumps(failed), count=1)

    with refused(grpc.StatusCode.UNAVAILABLE, "outcome not known yet"):
        controller.CreateVolume(create_volume(name))
    with refused(grpc.StatusCode.INTERNAL, "fault"):
        controller.CreateVolume(create_volume(name))

    assert "delete-block-storage-volume" not in cloud.operations_called()


@pytest.mark.parametrize("label", ["exoblock/protect", "exoblock/cluster-id"])
def test_what_a_failed_create_left_is_kept_where_a_label_forbids_its_delete(
    controller: Controller, cloud: SimulatorProcess, name: str, label: str
) -> None:  # D12
    cloud.set_latency("create", 3600.0)
    call = controller.CreateVolume.future(create_volume(name))
    wait_until_called(cloud, CREATE)
    (made,) = volumes_named(cloud, name)
    (begun,) = (each for each in cloud.operations() if each["state"] == "pending")
    cloud.relabel_volume(begun["zone"], made["id"], {**made["labels"], label: "another"})
    cloud.finish_operation(begun["zone"], begun["id"], state="failure", reason="fault")
    cloud.set_volume_state(begun["zone"], made["id"], "error")
    cloud.set_latency("create", 0.05)

    with refused(grpc.StatusCode.UNAVAILABLE):
        call.result()

    (left,) = volumes_named(cloud, name)
    assert left["state"] == "error"
    assert "delete-block-storage-volume" not in cloud.operations_called()


def test_what_a_failed_create_left_is_kept_where_an_instance_has_it(
    controller: Controller, cloud: SimulatorProcess, name: str, node: str
) -> None:  # D12: who attached it may have written to it
    cloud.set_latency("create", 3600.0)
    call = controller.CreateVolume.future(create_volume(name))
    wait_until_called(cloud, CREATE)
    (made,) = volumes_named(cloud, name)
    (begun,) = (each for each in cloud.operations() if each["state"] == "pending")
    cloud.finish_operation(begun["zone"], begun["id"], state="failure", reason="fault")
    cloud.set_volume_state(begun["zone"], made["id"], "error", instance=node.split("/")[1])
    cloud.set_latency("create", 0.05)

    call.exception()

    assert "delete-block-storage-volume" not in cloud.operations_called()


def test_an_operation_that_failed_after_its_effect_counts_as_done(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # first rule of the error table: explain by reading
    cloud.add_fault(fault="fail", operation=CREATE, reason="fault", leaves="done", count=1)

    answer = controller.CreateVolume(create_volume(name))

    (volume,) = volumes_named(cloud, name)
    assert answer.volume.volume_id.endswith(volume["id"])


@pytest.mark.parametrize(
    ("resource", "usual"), [("block-storage-volume", 1000), ("block-storage", 100_000)],
    ids=["block-storage-volume", "block-storage"],
)  # fmt: skip
def test_an_exhausted_quota_is_named_with_limit_and_use(
    controller: Controller, cloud: SimulatorProcess, name: str, resource: str, usual: int
) -> None:  # C2, F11
    cloud.set_quota(resource, 0)

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{resource}: "):
        controller.CreateVolume(create_volume(name))
    cloud.set_quota(resource, usual)

    assert not volumes_named(cloud, name)


def test_create_that_is_one_too_many_is_sent_again(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C2, S20
    cloud.add_fault(fault="refuse", operation=CREATE, status=429, count=2)

    controller.CreateVolume(create_volume(name))

    assert len(volumes_named(cloud, name)) == 1
    assert cloud.operations_called().count(CREATE) == 3
    assert called_in_zone(cloud).count(LIST) == 1


def test_throttling_that_outlasts_a_call_is_not_a_lack_of_space(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C2
    controller = Controller(start_controller("--create-timeout", "60s").channel)
    first = create_volume(f"{name}-first")
    as_a_sidecar_would(partial(controller.CreateVolume, first))  # old enough to doubt no name
    rule = cloud.add_fault(fault="refuse", operation=CREATE, status=429)

    with refused(grpc.StatusCode.UNAVAILABLE, "HTTP 429"):
        controller.CreateVolume(create_volume(name))
    cloud.remove_fault(rule)
    as_a_sidecar_would(partial(controller.CreateVolume, create_volume(name)))

    assert len(volumes_named(cloud, name)) == 1


@pytest.mark.parametrize("status", [400, 403])
def test_a_refused_list_says_nothing_final_about_what_was_made(
    controller: Controller, cloud: SimulatorProcess, name: str, status: int
) -> None:  # C1: the provisioner may have lost the answer, and would believe that nothing is left
    made = controller.CreateVolume(create_volume(name))
    refusing = cloud.add_fault(fault="refuse", operation=LIST, status=status)

    with refused(grpc.StatusCode.UNAVAILABLE, "can't be read"):
        controller.CreateVolume(create_volume(name))
    of_another, _ = outcome(lambda: controller.CreateVolume(create_volume(f"{name}-new")))
    cloud.remove_fault(refusing)

    assert of_another in {"INVALID_ARGUMENT", "PERMISSION_DENIED"}
    assert controller.CreateVolume(create_volume(name)) == made


def test_a_refused_list_says_nothing_final_about_what_was_found(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1: the same, where it was an earlier answer of the API that was lost
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name))
    controller.CreateVolume(create_volume(name))
    cloud.add_fault(fault="refuse", operation=LIST, status=403)

    with refused(grpc.StatusCode.UNAVAILABLE, "can't be read"):
        controller.CreateVolume(create_volume(name))


def test_a_driver_that_has_just_started_finds_what_its_predecessor_made_last(
    controller: Controller, start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C1, F16: the first lists that it sees may not show it yet
    made = controller.CreateVolume(create_volume(name))
    nothing = json.dumps({"block-storage-volumes": []})
    cloud.add_fault(fault="garbage", operation=LIST, zone=cloud.zones[0], body=nothing, count=2)
    cloud.clear_calls()
    successor = Controller(start_controller("--time-scale", "2").channel)  # it doubts for 20 s
    wait_until_called(cloud, LIST)

    found = successor.CreateVolume(create_volume(name))

    assert found == made
    assert cloud.operations_called().count(CREATE) == 0


@pytest.mark.parametrize("operation", [LIST, "list-zones"])
def test_a_driver_that_has_read_no_list_yet_says_nothing_final(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    name: str,
    operation: str,
) -> None:  # C1: its predecessor made the volume, however long ago it began
    controller.CreateVolume(create_volume(name))
    refusing = cloud.add_fault(fault="refuse", operation=operation, status=403)
    flags = ("--time-scale", "0.001", "--create-timeout", "60000s")  # a minute for each call
    unready = start_controller(*flags, ready=False)  # no list, so it isn't ready
    grpc.channel_ready_future(unready.channel).result(timeout=60)
    hurried = Controller(unready.channel)

    for _ in range(2):  # what doubts the start brings are over in 10 ms
        with refused(grpc.StatusCode.UNAVAILABLE):
            hurried.CreateVolume(create_volume(name))
    cloud.remove_fault(refusing)
    as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(name)))

    assert len(volumes_named(cloud, name)) == 1


def test_a_refused_read_just_after_a_start_is_not_final(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C1: its predecessor may have sent the creation a moment ago
    young = Controller(start_controller("--time-scale", "10").channel)  # it doubts for 100 s
    young.ListVolumes(csi_pb2.ListVolumesRequest())
    cloud.add_fault(fault="refuse", operation=LIST, status=403)

    with refused(grpc.StatusCode.UNAVAILABLE, "outcome not known yet"):
        young.CreateVolume(create_volume(name))


def test_a_second_call_for_a_name_is_told_who_works_on_it(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # S5
    cloud.set_latency("create", 3600.0)
    first = controller.CreateVolume.future(create_volume(name))
    wait_until_called(cloud, CREATE)

    with refused(grpc.StatusCode.ABORTED, "CreateVolume has held it"):
        controller.CreateVolume(create_volume(name))
    (operation,) = (each for each in cloud.operations() if each["state"] == "pending")
    cloud.finish_operation(operation["zone"], operation["id"])
    cloud.set_latency("create", 0.05)

    assert first.result().volume.volume_id


def test_a_call_that_is_cancelled_while_it_waits_for_its_operation_leaves_its_name(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # S5
    patient = Controller(start_controller("--create-timeout", "1h").channel)
    cloud.set_latency("create", 3600.0)
    call = patient.CreateVolume.future(create_volume(name))
    wait_until_called(cloud, CREATE)
    call.cancel()

    wait_until(lambda: is_let_in(patient, name), "the name to be free")
    (operation,) = (each for each in cloud.operations() if each["state"] == "pending")
    cloud.finish_operation(operation["zone"], operation["id"])
    cloud.set_latency("create", 0.05)
    as_a_sidecar_would(partial(patient.CreateVolume, create_volume(name)))

    assert len(volumes_named(cloud, name)) == 1


def test_a_call_that_is_cancelled_while_its_name_is_doubted_leaves_it(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # S5, C1: a driver that has just started asks again after a while; here 200 s
    doubtful = Controller(start_controller("--time-scale", "20").channel)
    cloud.clear_calls()
    call = doubtful.CreateVolume.future(create_volume(name))
    wait_until_called(cloud, LIST)
    call.cancel()

    wait_until(lambda: is_let_in(doubtful, name), "the name to be free")

    assert CREATE not in cloud.operations_called()


def is_let_in(controller: Controller, name: str) -> bool:
    """Return whether a call for a name gets to wait for the cloud, and not for another call."""
    code, _ = outcome(lambda: controller.CreateVolume(create_volume(name), timeout=3.0))
    return code == "DEADLINE_EXCEEDED"


def test_a_restore_carries_its_source_and_is_as_large_as_asked(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # S8, S18
    source = controller.CreateVolume(create_volume(f"{name}-source", 2)).volume.volume_id
    snapshot = controller.CreateSnapshot(create_snapshot(name, source)).snapshot.snapshot_id

    answer = controller.CreateVolume(create_volume(name, 3, snapshot_id=snapshot)).volume

    (volume,) = volumes_named(cloud, name)
    assert answer.content_source.snapshot.snapshot_id == snapshot
    assert answer.volume_context["format"] == "never"  # D1
    assert answer.capacity_bytes == 3 * GIB
    assert volume["size"] == 3


def test_a_restore_is_no_larger_in_the_answer_than_in_truth(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C5, S8: what completes a restore may answer and have no effect
    source = controller.CreateVolume(create_volume(f"{name}-source")).volume.volume_id
    snapshot = controller.CreateSnapshot(create_snapshot(name, source)).snapshot.snapshot_id
    cloud.set_mode("restore-larger", "ignored")
    cloud.add_fault(fault="refuse", operation=RESIZE, status=503, count=1)
    request = create_volume(name, 3, snapshot_id=snapshot)
    with refused(grpc.StatusCode.UNAVAILABLE, "could not be resized"):
        controller.CreateVolume(request)
    (made,) = volumes_named(cloud, name)
    said = json.dumps({"id": made["id"], "size": 3, "state": "detached"})
    cloud.add_fault(fault="garbage", operation=RESIZE, status=200, body=said, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE, "it has 1 GiB"):
        controller.CreateVolume(request)
    answer = controller.CreateVolume(request)

    (volume,) = volumes_named(cloud, name)
    assert answer.volume.capacity_bytes == volume["size"] * GIB == 3 * GIB


def test_a_restore_too_small_whose_resize_a_quota_forbids_names_the_quota(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # F11, S8: it can't be told by the refusal, which is the same for every reason
    source = controller.CreateVolume(create_volume(f"{name}-source", 1)).volume.volume_id
    snapshot = controller.CreateSnapshot(create_snapshot(name, source)).snapshot.snapshot_id
    cloud.set_mode("restore-larger", "ignored")
    cloud.add_fault(fault="refuse", operation=RESIZE, status=409, count=1)
    unlimited = cloud.quotas()["block-storage-max-size"]
    cloud.set_quota("block-storage-max-size", 2)
    try:
        with refused(grpc.StatusCode.UNAVAILABLE, "block-storage-max-size allows 2 GiB", "raised"):
            controller.CreateVolume(create_volume(name, 3, snapshot_id=snapshot))
    finally:
        cloud.set_quota("block-storage-max-size", unlimited)
    answer = controller.CreateVolume(create_volume(name, 3, snapshot_id=snapshot))

    assert answer.volume.capacity_bytes == 3 * GIB


def test_a_restore_below_its_source_is_out_of_range(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C5
    source = controller.CreateVolume(create_volume(f"{name}-source", 2)).volume.volume_id
    snapshot = controller.CreateSnapshot(create_snapshot(name, source)).snapshot.snapshot_id

    with refused(grpc.StatusCode.OUT_OF_RANGE, "source has 2 GiB"):
        controller.CreateVolume(create_volume(name, 1, snapshot_id=snapshot))

    controller.DeleteVolume(delete_volume(source))


def volumes_named(cloud: SimulatorProcess, name: str) -> list[dict[str, Any]]:
    """Return what the cloud really holds under a name."""
    return [volume for volume in cloud.volumes() if volume["name"] == name]


def called_in_zone(cloud: SimulatorProcess) -> list[str]:
    """Return what was called in the default zone; the others are listed now and then (C3)."""
    return [call.operation for call in cloud.calls() if call.zone == cloud.zones[0]]


def test_an_older_volume_of_that_name_that_is_going_hides_no_other(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1, D11: "several" would be final, and the new one stay behind
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(f"{name}-0"))
    (made,) = volumes_named(cloud, f"{name}-0")
    cloud.add_volumes(made["zone"], 1, f"{name}-")
    (older,) = (each for each in volumes_named(cloud, f"{name}-0") if each["id"] != made["id"])
    cloud.set_volume_state(made["zone"], older["id"], "deleting")

    answer = controller.CreateVolume(create_volume(f"{name}-0"))

    assert answer.volume.volume_id.endswith(made["id"])


def test_an_older_volume_that_is_going_proves_nothing_of_a_lost_create(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C1: a list may show the older one still, and the new one not yet
    cloud.add_fault(fault="drop", operation=CREATE, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name))
    (made,) = volumes_named(cloud, name)
    older = {**made, "id": str(uuid4()), "state": "deleting"}
    body = json.dumps({"block-storage-volumes": [older]})
    cloud.add_fault(fault="garbage", operation=LIST, zone=made["zone"], body=body, count=1)

    answer = controller.CreateVolume(create_volume(name))

    assert answer.volume.volume_id.endswith(made["id"])
    assert len(volumes_named(cloud, name)) == 1


@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_create_that_a_gateway_refused_can_have_made_its_volume(
    controller: Controller, cloud: SimulatorProcess, name: str, status: int
) -> None:  # C1: a gateway can refuse to pass on the answer, and the volume is there
    cloud.add_fault(fault="page", operation=CREATE, when="after", status=status, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE, f"HTTP {status}"):
        controller.CreateVolume(create_volume(name))
    made = as_a_sidecar_would(lambda: controller.CreateVolume(create_volume(name)))

    assert [made.volume.volume_id] == [
        f"{each['zone']}/{each['id']}" for each in cloud.volumes() if each["name"] == name
    ]
    assert cloud.operations_called().count(CREATE) == 1
