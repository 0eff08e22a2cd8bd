"""Attaching and detaching: only where asked, never taken from anyone (D3, S1, S2, S3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import pytest

from tests.controller.conftest import Controller, StartController, truth
from tests.controller.requests import (
    absent_id,
    create_snapshot,
    create_volume,
    publish,
    unpublish,
)
from tests.controller.waiting import as_a_sidecar_would, wait_until_called
from tests.support.grpc_errors import refused
from tests.support.simulator_process import (
    API_SECRET,
    SimulatorProcess,
    permitted_operations,
)

GET = "get-block-storage-volume"
ATTACH = "attach-block-storage-volume-to-instance"
DETACH = "detach-block-storage-volume"
POLL = "get-operation"


def test_attach_costs_a_get_a_put_and_polls(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S20
    cloud.clear_calls()

    controller.ControllerPublishVolume(publish(volume, node))

    called = cloud.operations_called()
    assert called[:2] == [GET, ATTACH]
    assert set(called[2:]) <= {POLL}
    assert instance_of(cloud, volume) == node.split("/")[1]


def test_detach_costs_a_get_a_put_and_polls(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S20
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.clear_calls()

    controller.ControllerUnpublishVolume(unpublish(volume, node))

    called = cloud.operations_called()
    assert called[:2] == [GET, DETACH]
    assert set(called[2:]) <= {POLL}
    assert instance_of(cloud, volume) is None


def test_attach_and_detach_repeated_only_read(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S2, S3
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.clear_calls()
    controller.ControllerPublishVolume(publish(volume, node))
    assert cloud.operations_called() == [GET]
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.clear_calls()

    controller.ControllerUnpublishVolume(unpublish(volume, node))

    assert cloud.operations_called() == [GET]


def test_attach_tells_when_a_volume_was_made_that_a_claim_got_blank(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N19
    (made,) = (each["created-at"] for each in cloud.volumes() if each["id"] in volume)

    answers = [controller.ControllerPublishVolume(publish(volume, node)) for _ in range(2)]

    for answer in answers:
        created, attached = (
            datetime.fromisoformat(answer.publish_context[each])
            for each in ("created-at", "attached-at")
        )
        assert created == datetime.fromisoformat(made)
        # The API tells its time to the second.
        assert abs(attached - datetime.now(UTC)) < timedelta(minutes=5)


def test_attach_tells_no_age_of_what_is_a_copy_or_was_made_by_hand(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N19
    taken = controller.CreateSnapshot(create_snapshot("monday", volume)).snapshot
    copy = controller.CreateVolume(create_volume("copy", snapshot_id=taken.snapshot_id)).volume
    cloud.add_volumes(cloud.zones[0], 1, prefix="by-hand-")
    (by_hand,) = (each["id"] for each in cloud.volumes() if each["name"].startswith("by-hand-"))

    for volume_id in (copy.volume_id, f"{cloud.zones[0]}/{by_hand}"):
        answer = controller.ControllerPublishVolume(publish(volume_id, node))
        assert dict(answer.publish_context) == {}


def test_a_late_detach_of_one_node_never_takes_the_disk_from_another(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D3
    zone = cloud.zones[0]
    late = f"{zone}/{cloud.add_instance(zone)}"
    controller.ControllerPublishVolume(publish(volume, late))
    controller.ControllerUnpublishVolume(unpublish(volume, late))
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.clear_calls()

    for _ in range(100):
        controller.ControllerUnpublishVolume(unpublish(volume, late))

    assert DETACH not in cloud.operations_called()
    assert instance_of(cloud, volume) == node.split("/")[1]


def test_a_lost_detach_cannot_land_on_a_new_attach(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D3, S5: the next call waits until the lost write can't come any more
    zone = cloud.zones[0]
    other = f"{zone}/{cloud.add_instance(zone)}"
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="drop", operation=DETACH, when="after", count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.ControllerUnpublishVolume(unpublish(volume, node))

    controller.ControllerUnpublishVolume(unpublish(volume, node))
    controller.ControllerPublishVolume(publish(volume, other))

    assert instance_of(cloud, volume) == other.split("/")[1]
    assert cloud.operations_called().count(DETACH) == 1


def test_a_detach_that_arrives_late_is_waited_for(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
) -> None:  # S5, D3: its sender gave up before the cloud began with it
    controller.ControllerPublishVolume(publish(volume, node))
    impatient = Controller(start_controller("--time-scale", "1", "--api-timeout", "2s").channel)
    cloud.add_fault(fault="delay", operation=DETACH, when="before", seconds=3.0, count=1)
    with refused(grpc.StatusCode.UNAVAILABLE):
        impatient.ControllerUnpublishVolume(unpublish(volume, node))

    impatient.ControllerUnpublishVolume(unpublish(volume, node))

    assert instance_of(cloud, volume) is None
    assert cloud.operations_called().count(DETACH) == 1


def test_detach_without_a_node_detaches_from_wherever_it_is(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D3
    controller.ControllerPublishVolume(publish(volume, node))

    controller.ControllerUnpublishVolume(unpublish(volume, ""))

    assert instance_of(cloud, volume) is None


def test_a_node_that_cannot_be_detaches_the_volume_from_nowhere(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S2, D3: no node is what an empty field names, not one that means nothing
    controller.ControllerPublishVolume(publish(volume, node))

    controller.ControllerUnpublishVolume(unpublish(volume, "no-id"))

    assert DETACH not in cloud.operations_called()


def test_a_volume_attached_elsewhere_is_refused_by_name(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D3, F11
    zone = cloud.zones[0]
    other = f"{zone}/{cloud.add_instance(zone)}"
    controller.ControllerPublishVolume(publish(volume, node))

    with refused(grpc.StatusCode.FAILED_PRECONDITION, volume, node.split("/")[1]):
        controller.ControllerPublishVolume(publish(volume, other))

    assert instance_of(cloud, volume) == node.split("/")[1]


def test_a_stale_reference_to_a_gone_instance_does_not_hinder_an_attach(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S1: the API decides, and here it says no for the time being
    zone = cloud.zones[0]
    gone = cloud.add_instance(zone)
    controller.ControllerPublishVolume(publish(volume, f"{zone}/{gone}"))
    cloud.set_mode("destroyed-instance", "keeps")
    cloud.remove_instance(zone, gone)
    cloud.clear_calls()

    with refused(grpc.StatusCode.ABORTED):
        controller.ControllerPublishVolume(publish(volume, node))

    assert ATTACH in cloud.operations_called()


def test_detach_of_what_is_not_there_is_done(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S2
    controller.ControllerUnpublishVolume(unpublish(absent_id(cloud.zones[0]), node))
    controller.ControllerUnpublishVolume(unpublish("nonsense", node))
    controller.ControllerUnpublishVolume(unpublish(volume, "nonsense"))
    controller.ControllerUnpublishVolume(unpublish(volume, absent_id(cloud.zones[0])))

    assert DETACH not in cloud.operations_called()


def test_attach_of_what_is_not_there_is_not_found(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    zone = cloud.zones[0]

    with refused(grpc.StatusCode.NOT_FOUND, "volume"):
        controller.ControllerPublishVolume(publish(absent_id(zone), node))
    with refused(grpc.StatusCode.NOT_FOUND, "instance"):
        controller.ControllerPublishVolume(publish(volume, absent_id(zone)))


def test_a_node_in_another_zone_is_refused_before_any_call(
    controller: Controller, cloud: SimulatorProcess, volume: str
) -> None:  # S12
    other = cloud.zones[1]
    node = f"{other}/{cloud.add_instance(other)}"
    cloud.clear_calls()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, cloud.zones[0]):
        controller.ControllerPublishVolume(publish(volume, node))

    assert cloud.operations_called() == []


def test_a_full_instance_is_told_with_limit_and_use(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S4, C2, F11
    cloud.set_quota("block-storage-volume-attachments", 0)

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "0 volumes", "may have 0"):
        controller.ControllerPublishVolume(publish(volume, node))

    cloud.set_quota("block-storage-volume-attachments", 5)
    assert instance_of(cloud, volume) is None


def test_a_volume_that_is_leaving_does_not_fill_an_instance(
    controller: Controller, cloud: SimulatorProcess, name: str, node: str
) -> None:  # S4, C2: kubelet rejects a pod whose node is said to be full
    cloud.set_quota("block-storage-volume-attachments", 2)
    made = [controller.CreateVolume(create_volume(f"{name}-{each}")) for each in range(3)]
    staying, leaving, coming = (each.volume.volume_id for each in made)
    for each in (staying, leaving):
        controller.ControllerPublishVolume(publish(each, node))
    cloud.set_latency("detach", 3600.0)
    detach = controller.ControllerUnpublishVolume.future(unpublish(leaving, node))
    wait_until_called(cloud, DETACH)

    with refused(grpc.StatusCode.ABORTED, leaving, "detaching", "2 volumes", "may have 2"):
        controller.ControllerPublishVolume(publish(coming, node))
    (pending,) = (
        each
        for each in cloud.operations()
        if each["state"] == "pending" and leaving.split("/")[1] in str(each)
    )
    cloud.finish_operation(pending["zone"], pending["id"])
    detach.result()

    controller.ControllerPublishVolume(publish(coming, node))
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "2 volumes"):
        controller.ControllerPublishVolume(publish(leaving, node))


def test_volumes_of_other_instances_do_not_fill_an_instance(
    controller: Controller, cloud: SimulatorProcess, volume: str, name: str, node: str
) -> None:  # S4, C2: the scheduler would look for another node
    other = f"{cloud.zones[0]}/{cloud.add_instance(cloud.zones[0])}"
    attached = controller.CreateVolume(create_volume(f"{name}-attached")).volume.volume_id
    controller.ControllerPublishVolume(publish(attached, other))
    cloud.set_mode("list-of-instance", "no")
    cloud.set_quota("block-storage-volume-attachments", 1)
    cloud.add_fault(fault="refuse", operation=ATTACH, status=409)

    with refused(grpc.StatusCode.ABORTED):
        controller.ControllerPublishVolume(publish(volume, node))


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_attach_whose_answer_is_lost_converges(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, when: str
) -> None:
    cloud.add_fault(fault="drop", operation=ATTACH, when=when, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.ControllerPublishVolume(publish(volume, node))
    controller.ControllerPublishVolume(publish(volume, node))

    assert instance_of(cloud, volume) == node.split("/")[1]


def test_an_attach_that_waited_for_its_turn_is_as_young_as_its_loss(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # C1, S5, D3: as old as its call it would be given up before the cloud begins with it
    impatient = Controller(start_controller("--time-scale", "0.2", "--api-timeout", "5s").channel)
    cloud.add_fault(fault="refuse", operation=ATTACH, status=429, retry_after=1.5, count=1)
    cloud.add_fault(fault="delay", operation=ATTACH, when="before", seconds=1.3, count=1)
    with refused(grpc.StatusCode.UNAVAILABLE, "no answer"):
        impatient.ControllerPublishVolume(publish(volume, node))

    impatient.ControllerPublishVolume(publish(volume, node))

    assert instance_of(cloud, volume) == node.split("/")[1]
    assert cloud.operations_called().count(ATTACH) == 2  # the first was refused unread


def test_a_slow_attach_is_joined_not_restarted(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S3
    cloud.set_latency("attach", 1.0)
    cloud.clear_calls()

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.ControllerPublishVolume(publish(volume, node), timeout=0.3)
    as_a_sidecar_would(lambda: controller.ControllerPublishVolume(publish(volume, node)))

    cloud.set_latency("attach", 0.05)
    assert cloud.operations_called().count(ATTACH) == 1


def test_an_attach_is_found_again_after_a_restart(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
) -> None:  # S3, F16: the state in the cloud is enough
    cloud.set_latency("attach", 1.0)
    dying = start_controller()
    call = Controller(dying.channel).ControllerPublishVolume.future(publish(volume, node))
    wait_until_called(cloud, ATTACH)
    dying.kill()
    call.cancel()

    again = Controller(start_controller().channel)
    as_a_sidecar_would(lambda: again.ControllerPublishVolume(publish(volume, node)))

    cloud.set_latency("attach", 0.05)
    assert cloud.operations_called().count(ATTACH) == 1


def test_attaches_that_collide_at_an_instance_converge_by_retries(
    controller: Controller, cloud: SimulatorProcess, name: str, node: str
) -> None:  # S4: ABORTED, and the attacher comes again
    cloud.set_mode("parallel-attach", "collides")
    made = [controller.CreateVolume(create_volume(f"{name}-{each}")) for each in range(4)]
    volumes = [each.volume.volume_id for each in made]

    def live(volume: str) -> None:
        as_a_sidecar_would(lambda: controller.ControllerPublishVolume(publish(volume, node)))
        as_a_sidecar_would(lambda: controller.ControllerUnpublishVolume(unpublish(volume, node)))

    with ThreadPoolExecutor(len(volumes)) as pool:
        list(pool.map(live, volumes))

    assert [instance_of(cloud, each) for each in volumes] == [None] * len(volumes)


@pytest.mark.parametrize("status", [403, 404, 409, 422])
def test_every_error_of_a_detach_is_worth_a_retry(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, status: int
) -> None:  # S2: the volume still names the node; S1: 404 may be of an instance that is gone
    controller.ControllerPublishVolume(publish(volume, node))
    rule = cloud.add_fault(fault="refuse", operation=DETACH, status=status)

    with refused(grpc.StatusCode.UNAVAILABLE, volume, node.split("/")[1]):
        controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.remove_fault(rule)
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    assert instance_of(cloud, volume) is None


@pytest.mark.parametrize("state", ["creating", "snapshotting"])
def test_a_volume_that_is_busy_is_attached_once_that_has_ended(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, state: str
) -> None:  # S4, S18
    cloud.set_volume_state(*parts(volume), state)
    cloud.clear_calls()

    with refused(grpc.StatusCode.ABORTED, volume, state):
        controller.ControllerPublishVolume(publish(volume, node))

    assert ATTACH not in cloud.operations_called()
    cloud.set_volume_state(*parts(volume), "detached")
    controller.ControllerPublishVolume(publish(volume, node))
    assert instance_of(cloud, volume) == node.split("/")[1]


@pytest.mark.parametrize("kind", ["attach", "detach"])
def test_a_call_ends_when_its_flag_says_and_the_next_one_joins(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str, kind: str
) -> None:  # S3: whatever time the sidecar gives it
    limited = Controller(start_controller(f"--{kind}-timeout", "30s").channel)  # 3 s here
    attach = partial(limited.ControllerPublishVolume, publish(volume, node))
    detach = partial(limited.ControllerUnpublishVolume, unpublish(volume, node))
    if kind == "detach":
        attach()
    call: Callable[[], object] = attach if kind == "attach" else detach
    cloud.set_latency(kind, 3600.0)
    cloud.clear_calls()

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        call()
    (pending,) = (each for each in cloud.operations() if each["state"] == "pending")
    cloud.finish_operation(pending["zone"], pending["id"])
    as_a_sidecar_would(call)

    cloud.set_latency(kind, 0.05)
    assert cloud.operations_called().count({"attach": ATTACH, "detach": DETACH}[kind]) == 1


# What stays on the way


@pytest.fixture(scope="module")
def brisk(start_controller: StartController) -> Controller:
    """A controller that loses its patience after 1.8 s instead of 90 s."""
    return Controller(start_controller("--time-scale", "0.02").channel)


@pytest.mark.parametrize("state", ["attaching", "detaching"])
def test_a_volume_that_stays_on_the_way_is_detached(
    brisk: Controller, cloud: SimulatorProcess, volume: str, node: str, state: str
) -> None:  # S3: nothing is under way that would end it
    brisk.ControllerPublishVolume(publish(volume, node))
    cloud.set_volume_state(*parts(volume), state)
    cloud.clear_calls()

    as_a_sidecar_would(
        lambda: brisk.ControllerUnpublishVolume(unpublish(volume, node), timeout=0.7)
    )

    assert cloud.operations_called().count(DETACH) == 1
    assert instance_of(cloud, volume) is None


@pytest.mark.parametrize("state", ["attaching", "detaching"])
def test_a_volume_that_stays_on_the_way_is_said_to(
    brisk: Controller, cloud: SimulatorProcess, volume: str, node: str, state: str
) -> None:  # S3, F11
    brisk.ControllerPublishVolume(publish(volume, node))
    cloud.set_volume_state(*parts(volume), state)
    cloud.clear_calls()

    with refused(
        grpc.StatusCode.FAILED_PRECONDITION, volume, state, node.split("/")[1], "delete the pod"
    ):
        as_a_sidecar_would(lambda: brisk.ControllerPublishVolume(publish(volume, node)))

    assert ATTACH not in cloud.operations_called()
    assert DETACH not in cloud.operations_called()  # D3: nobody asked for that


def test_a_volume_that_stays_on_its_way_elsewhere_is_not_detached(
    brisk: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # D3
    brisk.ControllerPublishVolume(publish(volume, node))
    cloud.set_volume_state(*parts(volume), "attaching")
    cloud.clear_calls()
    late = f"{cloud.zones[0]}/{cloud.add_instance(cloud.zones[0])}"

    brisk.ControllerUnpublishVolume(unpublish(volume, late))

    assert DETACH not in cloud.operations_called()


@contextmanager
def _detaching_unseen(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> Iterator[Future[Any]]:
    """Have a detach under way whose operation can't be read, and that names no instance."""
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.set_mode("operations", "denied")
    cloud.set_latency("detach", 3600.0)
    cloud.clear_calls()
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(controller.ControllerUnpublishVolume, unpublish(volume, node))
        wait_until_called(cloud, DETACH)
        cloud.set_volume_state(*parts(volume), "detaching", instance=None)
        yield answer


def test_a_detach_that_cannot_be_followed_is_done_once_the_volume_is_detached(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S2, S3: the API can forget the instance before the disk has left it
    with _detaching_unseen(controller, cloud, volume, node) as answer:
        wait_until_called(cloud, GET, times=3)  # one before the detach

        assert not answer.done()
        cloud.set_volume_state(*parts(volume), "detached", instance=None)
        answer.result()


def test_a_detach_that_leaves_the_volume_detaching_is_not_done(
    brisk: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S2, S3
    with (
        _detaching_unseen(brisk, cloud, volume, node) as answer,
        refused(grpc.StatusCode.UNAVAILABLE, volume, "was not detached"),
    ):
        answer.result()


@pytest.mark.parametrize("state", ["attaching", "attached"])
def test_a_volume_attached_to_an_unnamed_instance_is_not_detached(
    brisk: Controller, cloud: SimulatorProcess, volume: str, node: str, state: str
) -> None:  # S2, D3: it can be the node that the call names, or another
    cloud.set_volume_state(*parts(volume), state, instance=None)
    cloud.clear_calls()

    with refused(grpc.StatusCode.UNAVAILABLE, volume, state, "to which instance"):
        brisk.ControllerUnpublishVolume(unpublish(volume, node))

    assert DETACH not in cloud.operations_called()


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_every_refusal_of_the_read_before_a_detach_is_worth_a_retry(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, status: int
) -> None:  # S2, section 7: whether the volume is attached is not known
    controller.ControllerPublishVolume(publish(volume, node))
    rule = cloud.add_fault(fault="refuse", operation=GET, status=status)

    with refused(grpc.StatusCode.UNAVAILABLE, volume, f"HTTP {status}"):
        controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.remove_fault(rule)
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    assert instance_of(cloud, volume) is None


def test_a_volume_that_stays_detaching_from_nowhere_is_detached(
    brisk: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S3: nobody else has it, and without a detach it could never be attached again
    cloud.set_volume_state(*parts(volume), "detaching", instance=None)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, volume, "delete the pod"):
        as_a_sidecar_would(lambda: brisk.ControllerPublishVolume(publish(volume, node)))
    cloud.clear_calls()

    brisk.ControllerUnpublishVolume(unpublish(volume, node))

    assert cloud.operations_called().count(DETACH) == 1


@pytest.mark.parametrize("labels", [None, {"exoblock/pending-size": None}, {"team": 7}])
def test_labels_without_a_value_hinder_nothing(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, labels: object
) -> None:  # F18
    body = json.dumps({**truth(cloud, volume), "labels": labels})
    cloud.add_fault(fault="garbage", operation=GET, status=200, body=body, count=1)

    controller.ControllerPublishVolume(publish(volume, node))

    assert instance_of(cloud, volume) == node.split("/")[1]


def test_an_unknown_state_at_the_node_asked_for_is_not_elsewhere(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # F11: "detach it there first" would be about the node itself
    controller.ControllerPublishVolume(publish(volume, node))
    body = json.dumps({**truth(cloud, volume), "state": "hibernating"})
    cloud.add_fault(fault="garbage", operation=GET, status=200, body=body, count=1)

    with refused(grpc.StatusCode.ABORTED, volume, node.split("/")[1], "does not know"):
        controller.ControllerPublishVolume(publish(volume, node))


@pytest.mark.parametrize("size", ["micro", "tiny"])
def test_an_instance_that_is_too_small_is_said_to_be(
    controller: Controller, cloud: SimulatorProcess, volume: str, size: str
) -> None:  # S4: the API says 409, and always will
    node = f"{cloud.zones[0]}/{cloud.add_instance(cloud.zones[0], size=size)}"

    with refused(
        grpc.StatusCode.FAILED_PRECONDITION, volume, node.split("/")[1], f"of size {size}", "small"
    ):
        controller.ControllerPublishVolume(publish(volume, node))


def test_a_size_that_may_not_be_read_leaves_the_refusal_as_it_is(
    start_controller: StartController, cloud: SimulatorProcess, volume: str
) -> None:  # F14: a role from before this was asked for
    lacking = [each for each in permitted_operations() if each != "get-instance-type"]
    cloud.put_key("EXOolder", API_SECRET, lacking)
    older = Controller(start_controller(EXOSCALE_API_KEY="EXOolder").channel)
    node = f"{cloud.zones[0]}/{cloud.add_instance(cloud.zones[0], size='tiny')}"

    with refused(grpc.StatusCode.ABORTED, volume, "at least small"):
        older.ControllerPublishVolume(publish(volume, node))


def parts(volume_id: str) -> tuple[str, str]:
    zone, uuid = volume_id.split("/")
    return zone, uuid


def instance_of(cloud: SimulatorProcess, volume_id: str) -> Any:
    """Return the UUID of the instance that truly has the volume, `None` if none has."""
    zone, uuid = volume_id.split("/")
    (volume,) = (each for each in cloud.volumes() if each["id"] == uuid and each["zone"] == zone)
    return (volume.get("instance") or {}).get("id")
