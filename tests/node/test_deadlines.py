"""S5: a call on the node ends when its time has come, whatever it waits for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.node import requests
from tests.node.conftest import MakeDisk, Volume, block_capability, mount_capability
from tests.node.disks import mounts_of
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

SECONDS = 1.0
# Far longer than a test may take.
PATIENT = ("--device-wait-timeout", "24h", "--device-in-use-timeout", "24h")

MakeVolume = Callable[..., Volume]


@pytest.fixture(scope="module")
def patient(start_node: Callable[..., DriverProcess]) -> DriverProcess:
    """A driver whose own patience ends no wait."""
    return start_node(*PATIENT)


@pytest.fixture
def waiting(make_volume: MakeVolume, make_disk: MakeDisk, patient: DriverProcess) -> Volume:
    return make_volume(make_disk(), patient)


@pytest.fixture
def guest() -> Iterator[Callable[..., None]]:
    """Keep a folder or a disk in use until the test ends."""
    running: list[subprocess.Popen[bytes]] = []

    def keep(*command: str, **more: object) -> None:
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, **more))  # type: ignore[call-overload]  # it is told what a test gives

    yield keep
    for each in running:
        each.communicate()


def test_a_stage_whose_disk_does_not_come_ends_in_time(waiting: Volume) -> None:  # S6
    waiting.disk.link.unlink()
    request = requests.stage(waiting.disk.volume_id, waiting.staging, mount_capability())

    ends_in_time(lambda: waiting.node.NodeStageVolume(request, timeout=SECONDS))


def test_an_unstage_of_a_disk_that_is_in_use_ends_in_time(
    waiting: Volume, guest: Callable[..., None]
) -> None:  # D6
    waiting.stage_as(block_capability())
    with waiting.disk.path.open("rb") as disk:
        guest("cat", "/dev/stdin", stdout=subprocess.DEVNULL, pass_fds=(disk.fileno(),))
    request = requests.unstage(waiting.disk.volume_id, waiting.staging)

    ends_in_time(lambda: waiting.node.NodeUnstageVolume(request, timeout=SECONDS))


def test_an_unstage_of_a_mount_that_is_in_use_ends_in_time(
    waiting: Volume, guest: Callable[..., None]
) -> None:  # D6
    waiting.stage()
    guest("cat", cwd=waiting.staging)
    request = requests.unstage(waiting.disk.volume_id, waiting.staging)

    ends_in_time(lambda: waiting.node.NodeUnstageVolume(request, timeout=SECONDS))
    assert mounts_of(waiting.disk.path) == [str(waiting.staging)]


def test_an_unpublish_of_a_target_that_is_in_use_ends_in_time(
    waiting: Volume, guest: Callable[..., None]
) -> None:  # D6
    waiting.stage()
    target = waiting.publish()
    guest("cat", cwd=target)
    request = requests.unpublish(waiting.disk.volume_id, target)

    ends_in_time(lambda: waiting.node.NodeUnpublishVolume(request, timeout=SECONDS))
    assert str(target) in mounts_of(waiting.disk.path)


def ends_in_time(call: Callable[[], object]) -> None:
    """Return once a call and its retry have both ended by their deadlines.

    A call that goes on without its caller keeps the volume: the retry is told so, for ever.
    """
    code, _ = outcome(call)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED.name
    wait_until(lambda: outcome(call)[0] == grpc.StatusCode.DEADLINE_EXCEEDED.name)
