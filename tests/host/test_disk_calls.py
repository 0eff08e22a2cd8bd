"""S26: what waits for a disk is done in one thread for each disk, and proves nothing later (D1)."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Iterator

import pytest

from csi_exoblock import calls
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, HostError, NoAnswer
from csi_exoblock.host.block_devices import BlockDevice, DeviceNumber
from csi_exoblock.host.disk_calls import DiskCalls
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fast

LONG_SECONDS = 60.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    opened = threading.Event()
    yield opened
    opened.set()


@pytest.fixture
def impatient() -> DiskCalls:
    return DiskCalls(patience_seconds=0.01)


@pytest.fixture
def device(tmp_path: pathlib.Path) -> BlockDevice:
    """A disk that blocks every process that opens it, until one opens it for writing."""
    path = tmp_path / "vdb"
    os.mkfifo(path)
    return BlockDevice(path=path, number=DeviceNumber(253, 16), size_bytes=0, sector_bytes=512)


def deadline() -> Deadline:
    return Deadline(LONG_SECONDS)


def test_a_disk_that_hangs_when_it_is_opened_is_left_behind(
    impatient: DiskCalls, device: BlockDevice
) -> None:
    with pytest.raises(NoAnswer, match="vdb doesn't answer"):
        impatient.is_in_use(device, deadline())
    before = set(threading.enumerate())

    for _ in range(3):
        with pytest.raises(NoAnswer, match="vdb doesn't answer: an earlier call still waits"):
            impatient.is_in_use(device, deadline())
        with pytest.raises(NoAnswer), impatient.holding(device, deadline()):
            pass

    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile
    device.path.open("wb").close()


def test_what_was_read_for_an_earlier_call_is_given_to_nobody(
    impatient: DiskCalls, device: BlockDevice, gate: threading.Event
) -> None:  # D1: by the time that it comes, the disk may hold something else
    def hang() -> str:
        gate.wait()
        return "blank"

    with pytest.raises(NoAnswer):
        impatient.run(device, hang, deadline())
    gate.set()
    answers: list[str] = []

    def ask() -> bool:
        try:
            answers.append(impatient.run(device, lambda: "somebody's data", deadline()))
        except NoAnswer:
            return False
        return True

    wait_until(ask, "the disk to be asked again")

    assert answers == ["somebody's data"]


def test_a_disk_that_is_opened_too_late_is_closed_again(
    impatient: DiskCalls, device: BlockDevice, gate: threading.Event
) -> None:
    closed = threading.Event()

    def open_late() -> int:
        gate.wait()
        return 4711

    with pytest.raises(NoAnswer):
        impatient.run(device, open_late, deadline(), too_late=lambda file: closed.set())
    gate.set()

    assert closed.wait(LONG_SECONDS)


def test_a_call_waits_no_longer_than_it_may(device: BlockDevice, gate: threading.Event) -> None:
    patient = DiskCalls(patience_seconds=LONG_SECONDS)

    with pytest.raises(DeadlineExceeded):
        patient.run(device, gate.wait, Deadline(0.01))


def test_a_disk_that_hangs_holds_up_no_other(
    device: BlockDevice, tmp_path: pathlib.Path, gate: threading.Event
) -> None:
    patient = DiskCalls(patience_seconds=LONG_SECONDS)
    other = BlockDevice(
        path=tmp_path / "vdc", number=DeviceNumber(253, 32), size_bytes=0, sector_bytes=512
    )
    with pytest.raises(DeadlineExceeded):
        patient.run(device, gate.wait, Deadline(0.01))

    with pytest.raises(HostError, match="vdc can't be opened"):
        patient.is_in_use(other, deadline())


def test_what_is_logged_beside_a_call_names_it(device: BlockDevice) -> None:
    with calls.enter("NodeStageVolume") as call:
        seen = DiskCalls(patience_seconds=LONG_SECONDS).run(device, calls.current, deadline())

    assert seen is call
