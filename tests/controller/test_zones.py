"""Zones: where volumes go, and what one dead zone does not disturb (S12, S13)."""

from __future__ import annotations

import itertools
import time
from functools import partial

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from csi_exoblock.timing import Timing
from tests.controller.conftest import TIME_SCALE, Controller, StartController
from tests.controller.requests import (
    TOPOLOGY_KEY,
    create_snapshot,
    create_volume,
    publish,
)
from tests.controller.waiting import as_a_sidecar_would, wait_until_called
from tests.support.grpc_errors import outcome, refused
from tests.support.simulator_process import SimulatorProcess

_AWAY_SECONDS = float(TIME_SCALE) * Timing().leader_away


def test_the_preferred_zone_comes_first(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    first, second = cloud.zones[:2]

    answer = controller.CreateVolume(create_volume(name, zones=[second, first]))

    assert answer.volume.volume_id.startswith(second)


def test_foreign_keys_of_a_segment_are_ignored(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    request = create_volume(name, zones=())
    segments = {TOPOLOGY_KEY: cloud.zones[1], "topology.kubernetes.io/rack": "7"}
    request.accessibility_requirements.requisite.add(segments=segments)

    answer = controller.CreateVolume(request)

    assert answer.volume.volume_id.startswith(cloud.zones[1])


def test_the_parameter_counts_where_there_is_no_topology(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    parameters = {"zone": cloud.zones[1]}

    answer = controller.CreateVolume(create_volume(name, zones=(), parameters=parameters))

    assert answer.volume.volume_id.startswith(cloud.zones[1])


def test_the_default_zone_is_taken_where_nothing_names_one(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # S12: immediate binding in a cluster without nodes
    other = Controller(start_controller("--default-zone", cloud.zones[1]).channel)

    answer = as_a_sidecar_would(lambda: other.CreateVolume(create_volume(name, zones=())))

    assert answer.volume.volume_id.startswith(cloud.zones[1])


def test_a_topology_wins_over_the_parameter(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    first, second = cloud.zones[:2]

    answer = controller.CreateVolume(
        create_volume(name, zones=[first], parameters={"zone": second})
    )

    assert answer.volume.volume_id.startswith(first)


def test_an_unknown_zone_is_refused_with_those_in_scope(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:
    zone = "xx-nowhere-1"

    with refused(grpc.StatusCode.INVALID_ARGUMENT, zone, cloud.zones[0]):
        controller.CreateVolume(create_volume(name, zones=(), parameters={"zone": zone}))


@pytest.mark.parametrize("scale", ["10", "0.001"])
def test_a_zone_of_a_node_that_no_list_names_is_no_final_answer(
    start_controller: StartController, cloud: SimulatorProcess, name: str, scale: str
) -> None:  # C1, S12: a process that died may have made it there, however long ago it began
    first, second = cloud.zones[:2]
    cloud.list_zones_as(first)
    minute = f"{60 / float(scale)}s"
    flags = ("--time-scale", scale, "--api-timeout", minute, "--create-timeout", minute)
    fresh = Controller(start_controller(*flags).channel)
    request = create_volume(name, zones=[second])

    outcomes = [outcome(lambda: fresh.CreateVolume(request)) for _ in range(3)]
    cloud.list_zones_as(*cloud.zones)

    assert {code for code, _ in outcomes} == {"UNAVAILABLE"}
    assert all(second in text for _, text in outcomes)


def test_a_clone_in_an_unlisted_zone_is_sent_to_its_source(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S13: nothing can have been made elsewhere
    first, second = cloud.zones[:2]
    cloud.list_zones_as(first)
    fresh = Controller(start_controller().channel)
    request = create_volume(name, zones=[second])
    request.volume_content_source.volume.volume_id = volume

    code, _ = outcome(lambda: fresh.CreateVolume(request))
    cloud.list_zones_as(*cloud.zones)

    assert code == "RESOURCE_EXHAUSTED"


def test_a_claim_that_moves_to_an_unlisted_zone_is_sent_to_its_volume(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C3
    first, second = cloud.zones[:2]
    cloud.list_zones_as(first)
    fresh = Controller(start_controller().channel)
    cloud.add_fault(fault="drop", operation="create-block-storage-volume", when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        fresh.CreateVolume(create_volume(name, zones=[first]))

    code, text = outcome(lambda: fresh.CreateVolume(create_volume(name, zones=[second])))
    cloud.list_zones_as(*cloud.zones)

    assert (code, first in text) == ("RESOURCE_EXHAUSTED", True)


def test_a_zone_out_of_scope_is_refused(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:
    first, second = cloud.zones[:2]
    narrow = Controller(start_controller("--zones", first).channel)

    answer = narrow.CreateVolume(create_volume(name, zones=[second, first]))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, second):
        narrow.CreateVolume(create_volume(f"{name}-2", zones=[second]))

    assert answer.volume.volume_id.startswith(first)


def test_a_restore_goes_where_its_snapshot_is(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S13
    first, second = cloud.zones[:2]
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        controller.CreateVolume(create_volume(name, snapshot_id=snapshot, zones=[second]))
    answer = controller.CreateVolume(
        create_volume(name, snapshot_id=snapshot, zones=[second, first])
    )

    assert answer.volume.volume_id.startswith(first)


def test_a_copy_whose_source_is_out_of_scope_is_refused(
    start_controller: StartController,
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
) -> None:  # S12: whatever names no zone itself
    second = cloud.zones[1]
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    narrow = Controller(start_controller("--zones", second, "--default-zone", second).channel)
    clone = create_volume(f"{name}-clone", zones=())
    clone.volume_content_source.volume.volume_id = volume

    for request in (create_volume(f"{name}-copy", zones=(), snapshot_id=snapshot), clone):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, cloud.zones[0], f"in scope: {second}"):
            narrow.CreateVolume(request)

    assert not [each for each in cloud.volumes() if each["name"] in (f"{name}-copy", clone.name)]


def test_a_dead_zone_disturbs_nobody_elsewhere(
    controller: Controller, cloud: SimulatorProcess, name: str, node: str
) -> None:
    cloud.add_fault(fault="refuse", zone=cloud.zones[1], status=503)

    created = controller.CreateVolume(create_volume(name, zones=[cloud.zones[0]]))
    controller.ControllerPublishVolume(publish(created.volume.volume_id, node))


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 503])
def test_a_list_that_cannot_be_whole_is_an_error(
    start_controller: StartController, cloud: SimulatorProcess, status: int
) -> None:  # S12: a short list reads as "detached", a final code as a request that is wrong
    controller = Controller(start_controller("--api-timeout", "50s").channel)  # 5 s for a list
    cloud.add_fault(fault="refuse", zone=cloud.zones[1], status=status)

    with refused(grpc.StatusCode.UNAVAILABLE, cloud.zones[1]):
        controller.ListVolumes(csi_pb2.ListVolumesRequest())
    with refused(grpc.StatusCode.UNAVAILABLE, cloud.zones[1]):
        controller.ListSnapshots(csi_pb2.ListSnapshotsRequest())


def test_a_claim_that_moved_to_another_zone_is_sent_to_its_volume(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C3
    first, second = cloud.zones[:2]
    created = controller.CreateVolume(create_volume(name, zones=[first])).volume.volume_id

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, created, first):
        controller.CreateVolume(create_volume(name, zones=[second]))
    answer = controller.CreateVolume(create_volume(name, zones=[second, first]))

    assert answer.volume.volume_id == created


def test_a_create_that_was_given_up_in_one_zone_is_settled_before_another(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C3
    first, second = cloud.zones[:2]
    cloud.set_latency("create", 1.0)
    given_up = controller.CreateVolume.future(create_volume(name, zones=[first]))
    wait_until_called(cloud, "create-block-storage-volume")
    given_up.cancel()
    cloud.set_latency("create", 0.05)

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        as_a_sidecar_would(lambda: controller.CreateVolume(create_volume(name, zones=[second])))

    assert len([each for each in cloud.volumes() if each["name"] == name]) == 1


def test_a_volume_in_another_zone_is_labelled_before_the_pod_is_sent_there(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C3, C4: a claim that is deleted now leaves it, and it must be seen whose it is
    first, second = cloud.zones[:2]
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="drop", operation="create-block-storage-volume", when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name, zones=[first]))

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        controller.CreateVolume(create_volume(name, zones=[second]))

    (volume,) = (each for each in cloud.volumes() if each["name"] == name)
    assert volume["labels"]["exoblock/name"] == name


def test_the_pod_is_not_sent_to_a_volume_that_could_not_be_labelled(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C3, C4: for the same reason
    first, second = cloud.zones[:2]
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="drop", operation="create-block-storage-volume", when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name, zones=[first]))
    cloud.add_fault(fault="fail", operation="update-block-storage-volume", count=1)

    with refused(grpc.StatusCode.UNAVAILABLE, "no labels yet"):
        controller.CreateVolume(create_volume(name, zones=[second]))
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        controller.CreateVolume(create_volume(name, zones=[second]))

    (volume,) = (each for each in cloud.volumes() if each["name"] == name)
    assert volume["labels"]["exoblock/name"] == name


@pytest.mark.parametrize("status", [400, 403])
def test_the_pod_is_sent_to_a_volume_that_cannot_be_labelled(
    controller: Controller, cloud: SimulatorProcess, name: str, status: int
) -> None:  # C4, S13: what the role forbids would hold it up for ever
    first, second = cloud.zones[:2]
    cloud.set_mode("create-labels", "dropped")
    cloud.add_fault(fault="drop", operation="create-block-storage-volume", when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name, zones=[first]))
    cloud.add_fault(fault="refuse", operation="update-block-storage-volume", status=status)

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        controller.CreateVolume(create_volume(name, zones=[second]))


def test_a_restore_that_was_lost_before_its_pod_moved_sends_the_pod_back(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C3, S13: what no call can conclude any more would be refused for ever
    first, second = cloud.zones[:2]
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    cloud.add_fault(fault="drop", operation="create-block-storage-volume", when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name, snapshot_id=snapshot, zones=[first]))

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        controller.CreateVolume(create_volume(name, snapshot_id=snapshot, zones=[second]))
    controller.CreateVolume(create_volume(name, snapshot_id=snapshot, zones=[first]))

    assert len([each for each in cloud.volumes() if each["name"] == name]) == 1


def test_a_restore_of_a_dead_process_is_labelled_before_the_pod_is_sent_there(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # C3, C4
    first, second = cloud.zones[:2]
    snapshot = controller.CreateSnapshot(create_snapshot(name, volume)).snapshot.snapshot_id
    cloud.add_volumes(first, 1, prefix=name)
    (made,) = (each for each in cloud.volumes() if each["name"] == f"{name}0")

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        controller.CreateVolume(create_volume(made["name"], snapshot_id=snapshot, zones=[second]))

    (made,) = (each for each in cloud.volumes() if each["id"] == made["id"])
    assert made["labels"]["exoblock/source"] == snapshot.split("/")[1]


def test_what_was_made_in_a_zone_that_died_is_remembered_until_a_list_has_shown_it(
    start_controller: StartController, cloud: SimulatorProcess, name: str
) -> None:  # C1, C3: no clock proves that it is seen
    first, second = cloud.zones[:2]
    hurried = Controller(start_controller("--time-scale", "0.001").channel)  # a minute in 60 ms
    as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(f"{name}-0", zones=[second])))
    as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(name, zones=[first])))
    dead = cloud.add_fault(fault="refuse", zone=first, status=503)
    cloud.clear_calls()
    asked = 0
    while asked < 4:  # that number of minutes has passed
        asked = len([each for each in cloud.calls() if each.zone == first])
        create = create_volume(f"{name}-{len(cloud.calls())}", zones=[second])
        as_a_sidecar_would(partial(hurried.CreateVolume, create))

    refusal, _ = outcome(lambda: hurried.CreateVolume(create_volume(name, zones=[second])))
    assert refusal in ("UNAVAILABLE", "DEADLINE_EXCEEDED")  # its deadline is short, too
    cloud.remove_fault(dead)
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(name, zones=[second])))

    assert len([each for each in cloud.volumes() if each["name"] == name]) == 1


def test_a_lost_create_in_a_zone_that_died_blocks_only_its_name(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # C3
    first, second = cloud.zones[:2]
    cloud.add_fault(
        fault="drop", operation="create-block-storage-volume", zone=first, when="after", count=1
    )
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.CreateVolume(create_volume(name, zones=[first]))
    dead = cloud.add_fault(fault="refuse", zone=first, status=503)

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.CreateVolume(create_volume(name, zones=[second]), timeout=1)
    controller.CreateVolume(create_volume(f"{name}-other", zones=[second]))
    cloud.remove_fault(dead)
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, first):
        as_a_sidecar_would(lambda: controller.CreateVolume(create_volume(name, zones=[second])))

    assert len([each for each in cloud.volumes() if each["name"] == name]) == 1


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_zone_that_refuses_to_be_listed_disturbs_nobody_elsewhere(
    start_controller: StartController, cloud: SimulatorProcess, name: str, status: int
) -> None:  # S12
    here, there = cloud.zones[:2]
    hurried = Controller(start_controller("--time-scale", "0.01").channel)  # a minute in 0.6 s
    as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume(name)))
    cloud.add_fault(
        fault="refuse", operation="list-block-storage-volumes", zone=there, status=status
    )
    cloud.clear_calls()

    for number in itertools.count():
        request = create_volume(f"{name}-{number}", zones=[here])
        as_a_sidecar_would(partial(hurried.CreateVolume, request))
        if any(each.zone == there for each in cloud.calls()):
            break


def test_other_zones_are_listed_once_a_minute_at_most(
    controller: Controller, cloud: SimulatorProcess, name: str
) -> None:  # S20
    first, second = cloud.zones[:2]
    began = time.monotonic()
    controller.CreateVolume(create_volume(f"{name}-0", zones=[first]))
    cloud.clear_calls()

    for number in range(1, 5):
        controller.CreateVolume(create_volume(f"{name}-{number}", zones=[first]))

    # A driver that has just started also lists every zone's snapshots, once, by itself.
    listed = [call for call in cloud.calls() if call.operation == "list-block-storage-volumes"]
    elsewhere = [call for call in listed if call.zone == second]
    # On a busy machine creates are so far apart that another process can have led meanwhile.
    assert len(elsewhere) <= (time.monotonic() - began) // _AWAY_SECONDS
