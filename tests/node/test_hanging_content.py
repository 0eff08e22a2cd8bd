"""S26: a disk whose content hangs costs its own calls a moment, and nobody else anything."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import grpc
import pytest

from tests.node.conftest import MakeDisk, Volume, mount_capability
from tests.node.disks import Disk, mounts_of
from tests.node.gates import Gate
from tests.node.requests import stage
from tests.node.serving import Server, served_disk
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

# Far more than the driver waits for a disk.
LIMIT_SECONDS = 120.0
# The kernel lets a reader of a disk's cached pages be killed, but nobody who reads past the cache.
_READ_UNKILLABLY = """for device; do :; done
exec dd if="$device" of=/dev/null bs=4096 count=1 iflag=direct"""
NO_ANSWER = grpc.StatusCode.UNAVAILABLE, "doesn't answer"


@dataclass(frozen=True, slots=True)
class Hanging:
    """A volume on a disk that stops answering when the server is told to."""

    volume: Volume
    server: Server


@pytest.fixture
def hanging(
    make_disk: MakeDisk,  # whose disks go after this one answers again, also when a test fails
    make_volume: Callable[[Disk], Volume],
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    sector_bytes: int,
) -> Iterator[Hanging]:
    with served_disk(tmp_path, folder / "by-id", sector_bytes=sector_bytes) as (disk, server):
        yield Hanging(make_volume(disk).asked_once(), server)


def test_a_stage_that_reads_a_hanging_disk_is_answered_and_succeeds_once_it_answers(
    hanging: Hanging, make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:
    volume, healthy = hanging.volume, make_volume(make_disk())
    hanging.server.stop_answering()

    for _ in range(3):  # ABORTED would say that the first one still works on the volume
        with refused(*NO_ANSWER):
            volume.stage(seconds=LIMIT_SECONDS)
    healthy.stage(seconds=LIMIT_SECONDS)
    healthy.unstage()
    hanging.server.answer_again()
    wait_until(lambda: _stages(volume), "the disk to be asked again")

    assert mounts_of(volume.disk.path) == [str(volume.staging)]
    volume.unstage()


def test_a_disk_that_hangs_keeps_one_thread_however_often_it_is_asked(
    hanging: Hanging, driver: DriverProcess
) -> None:
    volume = hanging.volume
    hanging.server.stop_answering()

    for _ in range(6):
        with refused(*NO_ANSWER):
            volume.stage(seconds=LIMIT_SECONDS)

    # Another thread may wait for a moment, for the disk of the log for example.
    wait_until(lambda: _stuck(driver.pid) == 1, "one thread to be stuck")


def test_a_command_that_cannot_be_killed_is_left_behind_and_reaped_once_it_ends(
    hanging: Hanging, start_node: Callable[..., DriverProcess], gate: Callable[..., Gate]
) -> None:
    driver = start_node("--time-scale", "0.8")  # it kills nothing before it hangs: after 24 s
    volume, blkid = hanging.volume.served_by(driver), gate("blkid", _READ_UNKILLABLY)
    request = stage(volume.disk.volume_id, volume.staging, mount_capability())
    staged = volume.node.NodeStageVolume.future(request, timeout=LIMIT_SECONDS)
    blkid.wait_until_begun()
    (child,) = _children(driver.pid)
    hanging.server.stop_answering()
    blkid.open()

    with refused(grpc.StatusCode.UNAVAILABLE):
        staged.result()
    wait_until(lambda: _is_killed(child), "the command to be killed")
    assert _children(driver.pid) == [child]
    assert _state(child) == "D"
    hanging.server.answer_again()

    wait_until(lambda: not _children(driver.pid), "the command to end and to be reaped")


def test_a_disk_that_hangs_in_mkfs_keeps_no_other_volume_from_being_formatted(
    hanging: Hanging,
    gate: Callable[[str], Gate],
    make_disk: MakeDisk,
    make_volume: Callable[[Disk], Volume],
) -> None:  # D10: one mkfs at a time is allowed here
    volume, healthy, mkfs = hanging.volume, make_volume(make_disk()), gate("mkfs.ext4")
    request = stage(volume.disk.volume_id, volume.staging, mount_capability())
    staged = volume.node.NodeStageVolume.future(request, timeout=LIMIT_SECONDS)
    mkfs.wait_until_begun()
    hanging.server.stop_answering()
    mkfs.open()

    healthy.stage(seconds=LIMIT_SECONDS / 2)

    assert not staged.done()
    hanging.server.answer_again()
    staged.result()


def _stages(volume: Volume) -> bool:
    try:
        volume.stage(seconds=LIMIT_SECONDS)
    except grpc.RpcError:
        return False
    return True


def _stuck(pid: int) -> int:
    """Count the threads of a process that wait where no signal reaches them."""
    threads = os.listdir(f"/proc/{pid}/task")
    return [_state(int(thread)) for thread in threads].count("D")


def _state(thread: int) -> str:
    """Return the state of a process or thread, empty once it is gone."""
    try:
        return pathlib.Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            children += map(int, (task / "children").read_text().split())
    return children


def _is_killed(pid: int) -> bool:
    """Tell whether SIGKILL is on its way to a process that doesn't take it."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("ShdPnd:")[2].split()[0], 16) >> (signal.SIGKILL - 1) & 1)
