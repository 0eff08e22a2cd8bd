"""D10: long work outlives its call, runs once, and is joined by the retry; markers waive little."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.node.conftest import (
    FORMAT,
    MakeDisk,
    Tools,
    Volume,
    block_capability,
    mount_capability,
)
from tests.node.disks import GIB, mounts_of
from tests.node.gates import Gate
from tests.node.test_noise import made
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

RAW = block_capability()

MakeVolume = Callable[..., Volume]
SOON_SECONDS = 1.0


@pytest.fixture
def patient(start_node: Callable[..., DriverProcess]) -> DriverProcess:
    """A driver that lets a mkfs have its turn for as long as these tests take."""
    return start_node("--time-scale", "10")


def grown(volume: Volume) -> None:
    volume.stage()
    volume.unstage()
    volume.disk.grow(2)


def to_be_checked(volume: Volume) -> None:
    volume.disk.format("ext4")
    volume.disk.want_a_check()


@pytest.mark.parametrize(
    ("tool", "filesystem", "prepare", "name"),
    [
        ("mkfs.ext4", "ext4", lambda volume: None, "mkfs"),
        ("mkfs.xfs", "xfs", lambda volume: None, "mkfs"),
        ("mkfs.btrfs", "btrfs", lambda volume: None, "mkfs"),
        ("e2fsck", "ext4", to_be_checked, "e2fsck"),
        ("resize2fs", "ext4", grown, "growing"),
    ],
)
def test_long_work_goes_on_when_its_call_has_ended_and_the_retry_finds_it_done(
    volume: Volume,
    gate: Callable[[str], Gate],
    tool: str,
    filesystem: str,
    prepare: Callable[[Volume], None],
    name: str,
) -> None:
    prepare(volume)
    work = gate(tool)

    work.outlast(lambda: stage_within(SOON_SECONDS, volume, filesystem))
    # The server learns a little later than we that the call's time is over.
    wait_until(lambda: "not interrupted" in outcome(partial(volume.stage, filesystem))[1], name)
    for _ in range(3):
        with refused(grpc.StatusCode.ABORTED, name, "not interrupted", volume.disk.volume_id):
            volume.stage(filesystem)
        with refused(grpc.StatusCode.ABORTED, name, "not interrupted"):
            volume.unstage()
    runs = work.runs()
    work.open()
    ended = wait_until(lambda: unless_aborted(partial(volume.stage, filesystem)), "the end")

    assert ended == ("OK", "")
    assert runs == 1
    if tool.startswith("mkfs"):
        assert work.runs() == 1
    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_number_of_file_systems_made_at_once_is_limited(
    make_disk: MakeDisk,
    make_volume: MakeVolume,
    gate: Callable[[str], Gate],
    patient: DriverProcess,
) -> None:
    first, second = (make_volume(make_disk(), patient) for _ in range(2))
    work = gate("mkfs.ext4")

    with ThreadPoolExecutor() as kubelet, work:
        calls = [kubelet.submit(outcome, first.stage)]
        work.wait_until_begun()
        calls.append(kubelet.submit(wait_until, partial(unless_aborted, second.stage), "its turn"))
        waits = "(formatting)"  # mkfs would be the step after the next one
        # Asked by a call that never waits itself, should it come first.
        wait_until(lambda: waits in outcome(second.unstage)[1], "the second call")
        seen = [outcome(second.unstage)[1] for _ in range(10)]
        runs = work.runs()
        work.open()
        ended = [call.result() for call in calls]

    assert runs == 1
    assert all(waits in message for message in seen)
    assert ended == [("OK", "")] * 2
    assert work.runs() == 2


def test_what_was_written_while_mkfs_waited_for_its_turn_is_not_formatted(
    make_disk: MakeDisk,
    make_volume: MakeVolume,
    gate: Callable[[str], Gate],
    patient: DriverProcess,
) -> None:  # D1: a disk that was blank before the wait may hold data after it
    first, second = (make_volume(make_disk(), patient) for _ in range(2))
    work = gate("mkfs.ext4")

    with ThreadPoolExecutor() as kubelet, work:
        calls = [kubelet.submit(outcome, first.stage)]
        work.wait_until_begun()
        calls.append(kubelet.submit(wait_until, partial(unless_aborted, second.stage), "its turn"))
        waits = "(formatting)"
        wait_until(lambda: waits in outcome(second.unstage)[1], "the second call")
        second.disk.write(8192, b"data without a signature")
        work.open()
        ended = [call.result() for call in calls]

    assert [code for code, _ in ended] == ["OK", "FAILED_PRECONDITION"]
    assert work.runs() == 1


def test_who_waits_in_vain_for_a_turn_leaves_nothing_behind(
    make_disk: MakeDisk,
    make_volume: MakeVolume,
    gate: Callable[[str], Gate],
    patient: DriverProcess,
) -> None:
    first, second = (make_volume(make_disk(), patient) for _ in range(2))
    work = gate("mkfs.ext4")

    with ThreadPoolExecutor() as kubelet, work:
        call = kubelet.submit(outcome, first.stage)
        work.wait_until_begun()
        try_in_vain(second, times=5)
        before = threads_of(patient)
        try_in_vain(second, times=20)
        after = threads_of(patient)
        work.open()
        assert call.result() == ("OK", "")

    assert after - before < 10
    assert work.runs() == 1
    second.stage()


def test_a_marker_that_is_stale_formats_nothing(
    volume: Volume, folder: pathlib.Path, tools: Tools
) -> None:
    """The volume was formatted on another node meanwhile."""
    interrupt_mkfs(volume, tools, "mkfs.ext4")
    assert marker_of(volume, folder).exists()
    volume.disk.format("ext4", "-F")
    before = tools.count("mkfs.ext4")

    volume.stage()

    assert tools.count("mkfs.ext4") == before
    assert not marker_of(volume, folder).exists()


@pytest.mark.parametrize("found", ["ext4", "btrfs", "LUKS"])
def test_a_marker_waives_nothing_on_a_disk_that_holds_something_else(
    volume: Volume, folder: pathlib.Path, tools: Tools, found: str
) -> None:
    interrupt_mkfs(volume, tools, "mkfs.xfs")
    if found == "LUKS":
        volume.disk.write(0, b"LUKS\xba\xbe\x00\x02")
    else:
        volume.disk.format(found)
    before = tools.count("mkfs.xfs")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, found):
        volume.stage("xfs")

    assert tools.count("mkfs.xfs") == before


def test_what_a_pod_wrote_raw_is_not_taken_for_what_mkfs_left(
    volume: Volume, folder: pathlib.Path, tools: Tools
) -> None:  # D1
    interrupt_mkfs(volume, tools, "mkfs.ext4")
    volume.stage_as(RAW)
    data = os.urandom(4096)
    with volume.publish(capability=RAW).open("r+b") as device:
        device.write(data)
    volume.unpublish()
    volume.unstage()
    before = tools.count("mkfs.ext4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "isn't zeroed", "might hold data"):
        volume.stage()

    assert tools.count("mkfs.ext4") == before
    assert volume.disk.content()[0] == data
    assert not marker_of(volume, folder).exists()


def test_what_a_pod_wrote_raw_on_another_node_is_not_taken_for_what_mkfs_left(
    volume: Volume, tools: Tools
) -> None:  # D1: only what happens here removes the marker here
    before_it_left, back_again = made(), made()
    interrupt_mkfs(volume, tools, "mkfs.ext4", publish_context=before_it_left)
    data = os.urandom(4096)
    volume.disk.write(0, data)
    before = tools.count("mkfs.ext4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "isn't zeroed", "might hold data"):
        volume.stage_as(mount_capability(), publish_context=back_again)

    assert tools.count("mkfs.ext4") == before
    assert volume.disk.content()[0] == data


def test_a_marker_of_this_attachment_waives_the_zeros(volume: Volume, tools: Tools) -> None:
    attached = made()
    interrupt_mkfs(volume, tools, "mkfs.ext4", publish_context=attached)
    volume.disk.write(8192, b"what mkfs had written")

    volume.stage_as(mount_capability(), publish_context=attached)


def test_a_marker_waives_the_zeros(volume: Volume, folder: pathlib.Path, tools: Tools) -> None:
    interrupt_mkfs(volume, tools, "mkfs.ext4")
    volume.disk.write(8192, b"what mkfs had written")

    volume.stage()

    assert not marker_of(volume, folder).exists()


def test_an_unfinished_xfs_is_formatted_only_if_we_began_it(
    make_disk: MakeDisk, make_volume: MakeVolume, tools: Tools, folder: pathlib.Path
) -> None:
    ours, somebodys = make_volume(make_disk()), make_volume(make_disk())
    interrupt_mkfs(ours, tools, "mkfs.xfs")
    for volume in (ours, somebodys):
        volume.disk.format("xfs", "-s", "size=4096")
        volume.disk.write(126, b"\x01")  # sb_inprogress
    before = tools.count("mkfs.xfs")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "unfinished xfs"):
        somebodys.stage("xfs")
    ours.stage("xfs")

    assert tools.count("mkfs.xfs") == before + 1


def test_a_disk_whose_marker_was_lost_with_its_node_is_refused_with_the_remedy(
    volume: Volume, folder: pathlib.Path, tools: Tools
) -> None:
    interrupt_mkfs(volume, tools, "mkfs.ext4")
    volume.disk.write(8192, b"what mkfs had written")
    marker_of(volume, folder).unlink()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "with zeros", "new volume"):
        volume.stage()


def test_ten_tebibytes_are_staged_in_one_call(make_disk: MakeDisk, make_volume: MakeVolume) -> None:
    volume = make_volume(make_disk(gib=10 * 1024))

    volume.stage()

    assert os.statvfs(volume.staging).f_blocks * 4096 > 9.9 * 1024 * GIB


def interrupt_mkfs(
    volume: Volume, tools: Tools, name: str, *, publish_context: Mapping[str, str] | None = None
) -> None:
    """Have mkfs die before it writes anything."""
    capability = mount_capability(name.removeprefix("mkfs."))
    tools.replace(name, "kill -9 $$")
    with refused(grpc.StatusCode.UNAVAILABLE, "SIGKILL"):
        volume.stage_as(capability, publish_context=publish_context)
    tools.watch(name)


def marker_of(volume: Volume, folder: pathlib.Path) -> pathlib.Path:
    markers = folder / "kubelet" / "plugins" / "exoblock.csi.exoscale.com" / "formatting"
    return markers / volume.disk.volume_id.replace("/", ".")


def stage_within(seconds: float, volume: Volume, filesystem: str = "ext4") -> None:
    volume.node.NodeStageVolume(
        csi_pb2.NodeStageVolumeRequest(
            volume_id=volume.disk.volume_id,
            staging_target_path=str(volume.staging),
            volume_capability=mount_capability(filesystem),
            volume_context=FORMAT,
        ),
        timeout=seconds,
    )


def try_in_vain(volume: Volume, *, times: int) -> None:
    """Let a number of calls end at their deadline; some can begin while the one before ends."""
    while times:
        code, text = outcome(partial(stage_within, SOON_SECONDS / 4, volume))
        # The disk may still be asked for the call before.
        assert code in ("DEADLINE_EXCEEDED", "ABORTED", "UNAVAILABLE"), text
        times -= code == "DEADLINE_EXCEEDED"


def unless_aborted(call: Callable[[], object]) -> tuple[str, str] | None:
    ended = outcome(call)
    return None if ended[0] == "ABORTED" else ended


def threads_of(driver: DriverProcess) -> int:
    return len(os.listdir(f"/proc/{driver.pid}/task"))
