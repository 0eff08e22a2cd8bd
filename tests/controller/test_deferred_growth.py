"""A volume in use grows before its next attach, or at once on a stopped instance (N1, N2)."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest

from tests.controller.administrator import Administrator
from tests.controller.clocks import TWO_HOURS_AHEAD
from tests.controller.conftest import Controller, StartController, truth
from tests.controller.requests import expand, publish, unpublish
from tests.controller.waiting import as_a_sidecar_would
from tests.support.grpc_errors import refused
from tests.support.simulator_process import SimulatorProcess

LABEL = "exoblock/pending-size"
UPDATE = "update-block-storage-volume"
RESIZE = "resize-block-storage-volume"
ATTACH = "attach-block-storage-volume-to-instance"


@pytest.fixture(params=["replace", "merge"])
def merging(cloud: SimulatorProcess, request: pytest.FixtureRequest) -> None:
    """Both answers to what an update does with the labels that it does not name."""
    cloud.set_mode("update-labels", request.param)


@pytest.mark.usefixtures("merging")
def test_a_volume_in_use_grows_before_its_next_attach(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "replace the pods"):
        controller.ControllerExpandVolume(expand(volume, 3))
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    controller.ControllerPublishVolume(publish(volume, node))

    seen = truth(cloud, volume)
    assert seen["size"] == 3
    assert not seen["labels"].get(LABEL)
    assert seen["labels"]["exoblock/driver"]
    assert cloud.operations_called().index(RESIZE) < last(cloud, ATTACH)
    assert controller.ControllerExpandVolume(expand(volume, 3)).capacity_bytes == 3 * 2**30


def test_the_growth_is_found_by_whichever_controller_attaches(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
) -> None:  # F16
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 2))
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    Controller(start_controller().channel).ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 2


def test_retries_of_the_resizer_write_the_label_once(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))

    for _ in range(5):
        with refused(grpc.StatusCode.FAILED_PRECONDITION):
            controller.ControllerExpandVolume(expand(volume, 2))

    assert cloud.operations_called().count(UPDATE) == 1
    assert truth(cloud, volume)["labels"][LABEL].startswith("2-")


def test_another_size_is_noted_at_once(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))
    for gib in (2, 4):
        with refused(grpc.StatusCode.FAILED_PRECONDITION):
            controller.ControllerExpandVolume(expand(volume, gib))

    assert truth(cloud, volume)["labels"][LABEL].startswith("4-")


@pytest.mark.usefixtures("merging")
def test_a_request_that_was_taken_back_does_not_grow(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 3))
    controller.ControllerExpandVolume(expand(volume, 1))
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 1
    assert not truth(cloud, volume)["labels"].get(LABEL)


def test_a_request_that_goes_on_is_noted_again_after_a_while(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    administrator: Administrator,
) -> None:  # or it would be taken for one that nobody repeats
    controller.ControllerPublishVolume(publish(volume, node))
    noted = int(time.time()) - 40  # 400 s as fast as this driver lives
    administrator.label_volume(volume, {LABEL: f"2-{noted}"})

    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 2))

    size, _, since = truth(cloud, volume)["labels"][LABEL].partition("-")
    assert size == "2"
    assert int(since) > noted


def test_a_request_that_nobody_repeated_is_forgotten(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    administrator: Administrator,
) -> None:
    administrator.label_volume(volume, {LABEL: "7-1000000000"})

    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 1
    assert LABEL not in truth(cloud, volume)["labels"]


def test_a_request_from_the_future_is_neither_granted_nor_forgotten(
    controller: Controller,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    administrator: Administrator,
) -> None:  # N1: its time tells nothing; the resizer's next try gives it another
    administrator.label_volume(volume, {LABEL: "2-9999999999"})

    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 1
    assert truth(cloud, volume)["labels"][LABEL] == "2-9999999999"
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 2))
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    controller.ControllerPublishVolume(publish(volume, node))
    assert truth(cloud, volume)["size"] == 2


def test_growth_is_found_by_a_process_whose_clock_is_two_hours_ahead(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
    tmp_path: Path,
) -> None:  # N1, F16: attacher and resizer lead on hosts of their own; behind, a signature expires
    (tmp_path / "sitecustomize.py").write_text(TWO_HOURS_AHEAD)
    other = Controller(start_controller(PYTHONPATH=str(tmp_path)).channel)
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 2))
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    other.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 2
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        other.ControllerExpandVolume(expand(volume, 3))
    other.ControllerUnpublishVolume(unpublish(volume, node))
    controller.ControllerPublishVolume(publish(volume, node))
    assert truth(cloud, volume)["size"] == 3


@pytest.mark.usefixtures("merging")
def test_a_request_that_was_lowered_and_granted_forgets_the_older_one(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S7
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 7))
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    controller.ControllerExpandVolume(expand(volume, 2))

    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 2
    assert not truth(cloud, volume)["labels"].get(LABEL)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lowered_request_is_granted_only_once_the_older_one_is_forgotten(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str, when: str
) -> None:  # N1: the removal of its note got no answer
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 7))
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.add_fault(fault="drop", operation=UPDATE, when=when, count=1)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.ControllerExpandVolume(expand(volume, 2))
    as_a_sidecar_would(lambda: controller.ControllerExpandVolume(expand(volume, 2)))
    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 2


def test_a_lowered_request_is_granted_only_once_the_removal_of_the_older_one_succeeds(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N1
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 7))
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.add_fault(fault="fail", operation=UPDATE, reason="fault", count=1)

    with refused(grpc.StatusCode.UNAVAILABLE):
        controller.ControllerExpandVolume(expand(volume, 2))
    controller.ControllerExpandVolume(expand(volume, 2))
    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 2


@pytest.mark.usefixtures("merging")
def test_a_note_is_removed_although_operations_cannot_be_read(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N1, S3: where labels are merged, a key goes only by an empty value
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 7))
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.set_mode("operations", "denied")

    controller.ControllerExpandVolume(expand(volume, 2))

    assert not truth(cloud, volume)["labels"].get(LABEL)


def test_a_failed_resize_does_not_hinder_the_attach(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 3))
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.add_fault(fault="refuse", operation=RESIZE, status=422)

    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["state"] == "attached"


def test_without_the_label_expansion_still_works_by_retries(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="refuse", operation=UPDATE, status=403)
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 2))
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    controller.ControllerExpandVolume(expand(volume, 2))

    assert truth(cloud, volume)["size"] == 2


def test_a_note_whose_answer_is_lost_comes_before_the_next_call(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # S5: or it would come after the request was taken back, and grow the volume
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.set_latency("update", 0.3)
    cloud.add_fault(fault="drop", operation=UPDATE, when="after", count=1)
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 3))
    controller.ControllerExpandVolume(expand(volume, 1))
    cloud.set_latency("update", 0.05)
    controller.ControllerUnpublishVolume(unpublish(volume, node))

    controller.ControllerPublishVolume(publish(volume, node))

    assert truth(cloud, volume)["size"] == 1


def test_a_note_whose_removal_hangs_does_not_hold_the_attach(
    controller: Controller,
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    node: str,
) -> None:  # N1
    controller.ControllerPublishVolume(publish(volume, node))
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 3))
    controller.ControllerUnpublishVolume(unpublish(volume, node))
    cloud.add_fault(fault="hang", operation=UPDATE)
    patient = Controller(start_controller("--time-scale", "1").channel)  # follows it for 90 s

    patient.ControllerPublishVolume(publish(volume, node), timeout=60)

    assert truth(cloud, volume)["size"] == 3


def test_a_note_that_hangs_holds_neither_the_volume_nor_the_answer(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N1, S5
    controller = Controller(start_controller("--time-scale", "0.5").channel)  # follows it for 45 s
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="hang", operation=UPDATE)

    for _ in range(2):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "replace the pods"):
            controller.ControllerExpandVolume(expand(volume, 3), timeout=40)
    controller.ControllerUnpublishVolume(unpublish(volume, node), timeout=40)

    assert truth(cloud, volume)["state"] == "detached"


def test_a_request_that_is_lowered_waits_for_a_note_that_hangs(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N1, S5: the note of the older request would come later, and grow the volume
    controller = Controller(start_controller("--create-timeout", "120s").channel)  # 12 s here
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.add_fault(fault="hang", operation=UPDATE, count=1)
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        controller.ControllerExpandVolume(expand(volume, 3))
    (note,) = (
        each
        for each in cloud.operations()
        if each["state"] == "pending" and volume.split("/")[1] in str(each)
    )

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        controller.ControllerExpandVolume(expand(volume, 1))
    cloud.finish_operation(note["zone"], note["id"])
    controller.ControllerExpandVolume(expand(volume, 1))

    assert not truth(cloud, volume)["labels"].get(LABEL)


def test_deferral_can_be_switched_off(
    start_controller: StartController, cloud: SimulatorProcess, volume: str, node: str
) -> None:
    plain = Controller(start_controller("--deferred-expansion", "false").channel)
    plain.ControllerPublishVolume(publish(volume, node))

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "stop the pods"):
        plain.ControllerExpandVolume(expand(volume, 2))

    assert UPDATE not in cloud.operations_called()


def test_a_volume_on_a_stopped_instance_grows_at_once(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N2
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.set_instance_state(*split(node), "stopped")

    controller.ControllerExpandVolume(expand(volume, 2))

    assert truth(cloud, volume)["size"] == 2
    assert UPDATE not in cloud.operations_called()


def test_a_volume_whose_instance_is_gone_grows_at_once(
    controller: Controller, cloud: SimulatorProcess, volume: str, node: str
) -> None:  # N2, S1: the reference is stale, so nobody uses the volume
    cloud.set_mode("resize-attached", "accepted")
    cloud.set_mode("destroyed-instance", "keeps")
    controller.ControllerPublishVolume(publish(volume, node))
    cloud.remove_instance(*split(node))

    controller.ControllerExpandVolume(expand(volume, 2))

    assert truth(cloud, volume)["size"] == 2
    assert UPDATE not in cloud.operations_called()


def split(node_id: str) -> tuple[str, str]:
    zone, uuid = node_id.split("/")
    return zone, uuid


def last(cloud: SimulatorProcess, operation: str) -> int:
    """Return the place of the last call of an operation."""
    called = cloud.operations_called()
    return len(called) - 1 - called[::-1].index(operation)
