"""A creation that takes longer than 90 s is judged by its operation while the API can tell (S3).

The driver gives up polling it by then. What it made can look whole before it fails (S18).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import grpc
import pytest

from tests.controller.conftest import Controller, StartController
from tests.controller.requests import create_snapshot, create_volume
from tests.controller.waiting import as_a_sidecar_would
from tests.support.grpc_errors import outcome, refused
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

CREATE, TAKE = "create-block-storage-volume", "create-block-storage-snapshot"
DELETE = "delete-block-storage-volume"
POLL = "get-operation"

LONG_SECONDS = 2.0
"""A call's time in which the driver gives up an operation, as 90 s take 0.45 s."""

Call = Callable[..., object]
Prepare = Callable[[Controller, str, str], Call]


@pytest.fixture(scope="module")
def hurried(start_controller: StartController) -> Controller:
    """A controller for which 90 s take 0.45 s."""
    flags = ("--time-scale", "0.005", "--api-timeout", "2000s", "--create-timeout", "6000s")
    hurried = Controller(start_controller(*flags).channel)
    as_a_sidecar_would(lambda: hurried.CreateVolume(create_volume("first-of-the-hurried")))
    return hurried


def blank(controller: Controller, name: str, volume: str) -> Call:
    request = create_volume(name)
    return lambda **options: controller.CreateVolume(request, **options)


def restore(controller: Controller, name: str, volume: str) -> Call:
    taken = controller.CreateSnapshot(create_snapshot(f"{name}-source", volume)).snapshot
    request = create_volume(name, snapshot_id=taken.snapshot_id)
    return lambda **options: controller.CreateVolume(request, **options)


def clone(controller: Controller, name: str, volume: str) -> Call:
    request = create_volume(name)
    request.volume_content_source.volume.volume_id = volume
    return lambda **options: controller.CreateVolume(request, **options)


def snapshot(controller: Controller, name: str, volume: str) -> Call:
    request = create_snapshot(name, volume)
    return lambda **options: controller.CreateSnapshot(request, **options)


COPIES = pytest.mark.parametrize(
    ("prepare", "operation"), [(restore, CREATE), (clone, CREATE), (snapshot, TAKE)]
)


@COPIES
def test_a_copy_that_fails_after_it_was_given_up_is_made_once_more(
    hurried: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    prepare: Prepare,
    operation: str,
) -> None:  # S18, S3
    make = prepare(hurried, name, volume)
    unfinished = leave_pending(cloud, name, make, operation)

    finish(cloud, state="failure", leaves="done", reason="partial")
    code, message = once_free(make)

    assert (code, "failed: partial" in message) == ("UNAVAILABLE", True), message
    assert named(cloud, name) == []
    as_a_sidecar_would(make)
    (made,) = named(cloud, name)
    assert made["id"] != unfinished["id"]


@COPIES
def test_a_copy_that_looks_whole_while_its_operation_is_pending_is_not_handed_out(
    hurried: Controller,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    prepare: Prepare,
    operation: str,
) -> None:  # S18
    make = prepare(hurried, name, volume)
    unfinished = leave_pending(cloud, name, make, operation)
    look_whole(cloud, unfinished)

    give_up(make)
    finish(cloud)

    as_a_sidecar_would(make)
    assert [each["id"] for each in named(cloud, name)] == [unfinished["id"]]


@pytest.mark.parametrize("prepare", [blank, restore])
def test_what_an_operation_leaves_half_made_that_fails_late_is_deleted(
    hurried: Controller, cloud: SimulatorProcess, volume: str, name: str, prepare: Prepare
) -> None:  # C1, S3
    cloud.set_mode("delete-halfway", "accepted")
    make = prepare(hurried, name, volume)
    unfinished = leave_pending(cloud, name, make, CREATE)

    finish(cloud, state="failure", leaves="halfway", reason="fault")
    with refused(grpc.StatusCode.INTERNAL, "failed: fault"):
        as_a_sidecar_would(make)

    assert unfinished["id"] not in [each["id"] for each in cloud.volumes()]
    as_a_sidecar_would(make)


@pytest.mark.parametrize(
    ("prepare", "operation"), [(blank, CREATE), (restore, CREATE), (snapshot, TAKE)]
)
def test_a_creation_that_takes_long_is_named_by_its_operation(
    start_controller: StartController,
    cloud: SimulatorProcess,
    volume: str,
    name: str,
    prepare: Prepare,
    operation: str,
) -> None:  # F11: nothing is wrong with it, so nobody has to ask Exoscale's support
    flags = ("--time-scale", "0.005", "--api-timeout", "2000s", "--create-timeout", "300s")
    impatient = Controller(start_controller(*flags).channel)
    make = as_a_sidecar_would(lambda: prepare(impatient, name, volume))
    cloud.add_fault(fault="hang", operation=operation, count=1)

    said = said_at_last(make)

    assert f"operation {pending(cloud)['id']} is still pending; a retry goes on waiting" in said
    finish(cloud)
    as_a_sidecar_would(make)


@pytest.mark.parametrize("answer", ["refuse", "drop"])
def test_a_copy_whose_operation_cannot_be_asked_for_just_now_is_not_handed_out(
    hurried: Controller, cloud: SimulatorProcess, volume: str, name: str, answer: str
) -> None:  # S18: once the API is back it tells that the copy failed
    make = restore(hurried, name, volume)
    cloud.add_fault(fault="hang", operation=CREATE, count=1)
    give_up(make)
    outage = cloud.add_fault(fault=answer, operation=POLL)
    finish(cloud, state="failure", leaves="done", reason="partial")

    give_up(make)
    cloud.remove_fault(outage)

    code, message = once_free(make)

    assert (code, "failed: partial" in message) == ("UNAVAILABLE", True), message
    assert named(cloud, name) == []


def test_a_copy_whose_operation_is_forgotten_is_judged_by_its_state(
    hurried: Controller, cloud: SimulatorProcess, volume: str, name: str
) -> None:  # S3: nothing can tell any more, and nothing may hang for ever
    make = restore(hurried, name, volume)
    unfinished = leave_pending(cloud, name, make, CREATE)
    cloud.add_fault(fault="refuse", operation=POLL, status=404)
    finish(cloud)

    as_a_sidecar_would(make)

    assert [each["id"] for each in named(cloud, name)] == [unfinished["id"]]


def test_a_blank_volume_that_is_there_is_handed_out_though_its_operation_hangs(
    hurried: Controller, cloud: SimulatorProcess, name: str
) -> None:  # S3: its state proves all that there is to it
    make = blank(hurried, name, "")
    unfinished = leave_pending(cloud, name, make, CREATE)
    look_whole(cloud, unfinished)

    as_a_sidecar_would(make)

    assert [each["id"] for each in named(cloud, name)] == [unfinished["id"]]
    finish(cloud)


def leave_pending(
    cloud: SimulatorProcess, name: str, make: Call, operation: str
) -> Mapping[str, Any]:
    """Let an operation hang until the driver has given it up, and return what it is making."""
    cloud.add_fault(fault="hang", operation=operation, count=1)
    give_up(make)
    (unfinished,) = named(cloud, name)
    return unfinished


def give_up(make: Call) -> None:
    """Call for longer than the driver polls an operation; nothing final may come of it."""
    code, message = once_free(partial(make, timeout=LONG_SECONDS))
    assert code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"), f"{code}: {message}"


def once_free(make: Call) -> tuple[str, str]:
    """Return how a call ends once the name is free; the call before can hold it a moment longer."""
    return wait_until(lambda: not_busy(outcome(make)), "the name is free")


def not_busy(ended: tuple[str, str]) -> tuple[str, str] | None:
    return None if ended[0] == "ABORTED" else ended


def said_at_last(make: Call) -> str:
    """Return what a call says that did not end in the midst of a request, as its time was over."""

    def said() -> str:
        message = outcome(make)[1]
        return message if "; a retry" in message and "the time for the call" not in message else ""

    return wait_until(said, "a call says what it waits for")


def pending(cloud: SimulatorProcess) -> Mapping[str, Any]:
    *_, operation = (each for each in cloud.operations() if each["state"] == "pending")
    return operation


def finish(cloud: SimulatorProcess, **ending: str) -> None:
    """End the operation that hangs."""
    hanging = pending(cloud)
    cloud.finish_operation(hanging["zone"], hanging["id"], **ending)


def look_whole(cloud: SimulatorProcess, made: Mapping[str, Any]) -> None:
    """Show a volume or snapshot as one that is complete, while its operation goes on."""
    if any(each["id"] == made["id"] for each in cloud.snapshots()):
        cloud.set_snapshot_state(made["zone"], made["id"], "created")
    else:
        cloud.set_volume_state(made["zone"], made["id"], "detached")


def named(cloud: SimulatorProcess, name: str) -> list[dict[str, Any]]:
    """Return the volumes and snapshots of the name, as the cloud holds them."""
    return [each for each in (*cloud.volumes(), *cloud.snapshots()) if each["name"] == name]
