"""Stage to unstage on real devices: mounts prove themselves, never multiply, and go again."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.node.conftest import (
    FORMAT,
    ONLY_UNMOUNTED,
    MakeDisk,
    Mode,
    Tools,
    Volume,
    block_capability,
    mount_capability,
)
from tests.node.disks import GIB, Disk, kept_in_another_namespace, mounts_of, run, uuid_of
from tests.node.requests import unpublish
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

FILESYSTEMS = ["ext4", "ext3", "xfs", "btrfs"]
MIB = 1024**2


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_a_volume_is_formatted_mounted_written_measured_and_released(
    make_disk: MakeDisk,
    make_volume: Callable[[Disk], Volume],
    filesystem: str,
    sector_bytes: int,
) -> None:  # S25
    volume = make_volume(make_disk(sector_bytes=sector_bytes))
    capability = mount_capability(filesystem)

    volume.stage(filesystem)
    target = volume.publish(capability=capability)
    (target / "file").write_bytes(bytes(MIB))
    usage = volume.usage(target)
    volume.unpublish()
    volume.unstage()

    size = usage[csi_pb2.VolumeUsage.BYTES]
    assert 0.85 * GIB < size.total <= GIB
    assert size.used >= MIB
    assert 0 < size.available <= size.total
    assert mounts_of(volume.disk.path) == []
    assert not target.exists()


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_file_system_fills_a_volume_that_grew(
    volume: Volume, filesystem: str
) -> None:  # S8: between restore and stage, or between two stages
    volume.stage(filesystem)
    (volume.staging / "canary").write_text("mine")
    volume.unstage()
    volume.disk.grow(2)

    volume.stage(filesystem)

    usage = os.statvfs(volume.staging)
    assert usage.f_blocks * usage.f_frsize > 1.8 * GIB
    assert (volume.staging / "canary").read_text() == "mine"


def test_a_check_that_stopped_for_a_moment_does_not_leave_a_file_system_small(
    volume: Volume, tools: Tools
) -> None:  # S8: in use by a program that only reads, for example
    volume.stage("ext4")
    volume.unstage()
    volume.disk.grow(2)
    tools.replace("e2fsck", "echo 'is in use. e2fsck: Cannot continue, aborting.' >&2; exit 8")

    with refused(grpc.StatusCode.UNAVAILABLE, "e2fsck", "is in use"):
        volume.stage("ext4")
    tools.watch("e2fsck")
    volume.stage("ext4")

    usage = os.statvfs(volume.staging)
    assert usage.f_blocks * usage.f_frsize > 1.8 * GIB


@pytest.mark.parametrize("filesystem", ["xfs", "btrfs"])
def test_a_mounted_file_system_grows_where_the_kernel_allows_it(
    volume: Volume, filesystem: str
) -> None:  # S7
    volume.stage(filesystem)
    target = volume.publish(capability=mount_capability(filesystem))
    volume.disk.grow(2)

    sizes = [volume.expand(path) for path in (target, target, volume.staging)]

    usage = os.statvfs(target)
    assert sizes == [2 * GIB] * 3
    assert usage.f_blocks * usage.f_frsize > 1.8 * GIB


@pytest.mark.parametrize("raw", [False, True])
def test_an_expansion_that_has_not_reached_this_host_says_so(
    volume: Volume, raw: bool
) -> None:  # S7: answered with OK, kubelet would take the claim for expanded
    capability = block_capability() if raw else mount_capability("ext4")
    volume.stage_as(capability)
    target = volume.publish(capability=capability)

    for required in (GIB + 1, 5 * GIB):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"the {required} asked for", "replace"):
            volume.expand(target, required=required)
    with refused(grpc.StatusCode.OUT_OF_RANGE, "no volume shrinks"):
        volume.expand(target, required=0, limit=GIB - 1)
    for bad in ((-1, 0), (0, -1), (2 * GIB, GIB)):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "capacity_range"):
            volume.expand(target, required=bad[0], limit=bad[1])

    assert volume.expand(target, required=GIB, limit=GIB) == GIB


def test_a_mounted_ext4_that_may_not_grow_says_when_it_will(volume: Volume, tools: Tools) -> None:
    # S7: as the kernel does without CAP_SYS_RESOURCE, which this test takes away where it is there
    volume.stage()
    volume.disk.grow(2)
    tools.replace("resize2fs", ONLY_UNMOUNTED)

    with refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        "(resize2fs: Permission denied to resize filesystem)",
        "grows by itself at the next stage",
    ):
        volume.expand(volume.staging)
    volume.unstage()
    volume.stage()

    (tools.folder / "resize2fs").unlink()
    assert os.statvfs(volume.staging).f_blocks * 4096 > 1.8 * GIB


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_restored_volume_mounts_beside_its_source(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume], filesystem: str
) -> None:  # D9: two disks that are the same bit by bit, no UUID rewritten
    source, copy = make_volume(make_disk()), make_volume(make_disk())
    source.stage(filesystem)
    (source.staging / "canary").write_text("mine")
    run("sync", "--file-system", str(source.staging))
    source.unstage()
    source.disk.copy_to(copy.disk)
    source.stage(filesystem)

    copy.stage(filesystem, context={"format": "never"})

    (copy.staging / "canary").write_text("the copy's")
    assert (source.staging / "canary").read_text() == "mine"
    assert uuid_of(source.disk) == uuid_of(copy.disk)
    if filesystem == "xfs":
        assert "nouuid" in options_of(copy.staging)


def test_a_second_btrfs_of_one_id_is_refused_or_mounted_apart(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # D9: Linux 6.7 and later mount it under an id of its own
    source, copy = make_volume(make_disk()), make_volume(make_disk())
    source.stage("btrfs")
    source.unstage()
    source.disk.copy_to(copy.disk)
    source.stage("btrfs")
    before = mounts_of(copy.disk.path)

    if kernel() < (6, 7):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "btrfs"):
            copy.stage("btrfs", context={"format": "never"})
        assert mounts_of(copy.disk.path) == before == []
    else:  # Linux 6.18 says at times that the file exists, but not twice
        code, _ = outcome(lambda: copy.stage("btrfs", context={"format": "never"}))
        if code == "UNAVAILABLE":
            copy.stage("btrfs", context={"format": "never"})
        assert mounts_of(copy.disk.path) == [str(copy.staging)]


def test_repeated_calls_add_no_mount(volume: Volume) -> None:  # S14
    for _ in range(5):
        volume.stage()
        volume.publish()

    assert sorted(mounts_of(volume.disk.path)) == sorted(
        [str(volume.staging), str(volume.target())]
    )


def test_repeated_calls_add_no_mount_of_a_raw_device(volume: Volume) -> None:  # S14
    raw = block_capability()
    for _ in range(5):
        volume.stage_as(raw)
        volume.publish(capability=raw)

    assert mounts_of(volume.disk.path) == [str(volume.target())]


def test_every_layer_goes_and_the_target_with_it(volume: Volume) -> None:  # S14
    volume.stage()
    target = volume.publish()
    run("mount", "--bind", str(volume.staging), str(target))

    volume.unpublish()
    volume.unpublish()

    assert mounts_of(volume.disk.path) == [str(volume.staging)]
    assert not target.exists()


def test_a_pod_never_starts_on_a_bare_folder(volume: Volume) -> None:  # D7
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "not staged"):
        volume.publish()
    volume.stage()
    run("umount", str(volume.staging))

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "not staged"):
        volume.publish()


def test_a_mount_of_something_else_is_not_taken_for_the_volume(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # D4
    volume, other = make_volume(make_disk()), make_disk()
    other.format("ext4")
    run("mount", str(other.path), str(volume.staging))

    with refused(grpc.StatusCode.ALREADY_EXISTS, "device"):
        volume.stage()

    assert mounts_of(other.path) == [str(volume.staging)]


@pytest.mark.parametrize(
    ("filesystem", "flags", "says"),
    [
        ("xfs", (), "file system is ext4"),
        ("ext4", ("ro",), "read-only"),
        ("ext4", ("nobarrier",), "'nobarrier' is not allowed"),
    ],
)
def test_staged_otherwise_than_asked_is_refused_but_not_for_good(
    volume: Volume, filesystem: str, flags: tuple[str, ...], says: str
) -> None:  # D4, D5: the mount options of a PV can be edited while it is staged
    volume.stage()

    with refused(grpc.StatusCode.UNAVAILABLE, says, f"still mounted at {volume.staging}"):
        volume.stage(filesystem, flags=flags)


def test_what_is_in_the_place_of_a_path_is_named_and_stays(volume: Volume) -> None:
    volume.staging.rmdir()
    volume.staging.write_text("data")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"{volume.staging} must be a folder"):
        volume.stage()
    assert volume.staging.read_text() == "data"
    volume.staging.unlink()
    volume.stage()

    volume.target().parent.mkdir()
    volume.target().write_text("data")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"{volume.target()} must be a folder"):
        volume.publish()

    assert volume.target().read_text() == "data"


def test_a_folder_in_the_place_of_a_raw_device_is_named(volume: Volume) -> None:
    raw = block_capability()
    volume.stage_as(raw)
    volume.target().mkdir(parents=True)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"{volume.target()} must be a file"):
        volume.publish(capability=raw)

    assert mounts_of(volume.disk.path) == []


def test_unstage_is_refused_while_a_target_is_bound(volume: Volume) -> None:  # D4
    volume.stage()
    target = volume.publish()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, str(target)):
        volume.unstage()
    left = mounts_of(volume.disk.path)
    volume.unpublish()
    volume.unstage()

    assert sorted(left) == sorted([str(volume.staging), str(target)])
    assert mounts_of(volume.disk.path) == []


def test_unstage_takes_every_layer(volume: Volume) -> None:  # D4
    volume.stage()
    run("mount", "--bind", str(volume.staging), str(volume.staging))

    volume.unstage()

    assert mounts_of(volume.disk.path) == []


def test_unstage_without_a_folder_or_a_disk_is_done(volume: Volume) -> None:  # D4
    volume.stage()
    volume.unstage()
    volume.staging.rmdir()
    volume.unstage()
    volume.disk.link.unlink()

    volume.unstage()


def test_unstage_is_refused_while_another_mount_namespace_has_the_disk(
    volume: Volume,
) -> None:  # D4
    volume.stage()
    with (
        kept_in_another_namespace(volume.disk.path),
        refused(grpc.StatusCode.FAILED_PRECONDITION, "still in use"),
    ):
        volume.unstage()

    volume.unstage()


def test_unstage_names_who_has_the_mount_busy(volume: Volume) -> None:  # D6
    volume.stage()
    guest = subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=volume.staging)
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, str(guest.pid)):
            volume.unstage()
        assert mounts_of(volume.disk.path) == [str(volume.staging)]  # never lazily
    finally:
        guest.communicate()

    volume.unstage()


def test_unpublish_names_who_has_the_target_busy(volume: Volume) -> None:  # D6
    volume.stage()
    target = volume.publish()
    guest = subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=target)
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, str(guest.pid), "busy"):
            volume.unpublish()
        assert target.is_mount()  # never lazily
    finally:
        guest.communicate()

    volume.unpublish()


@pytest.mark.parametrize("tool", ["mount", "mkfs.ext4", "e2fsck"])
def test_nothing_is_mounted_after_a_failed_stage(
    volume: Volume, tools: Tools, tool: str
) -> None:  # D5
    if tool == "e2fsck":
        volume.disk.format("ext4")
        volume.disk.want_a_check()
    tools.replace(tool, "echo out of order >&2; exit 16")

    with refused(grpc.StatusCode.UNAVAILABLE, "out of order"):
        volume.stage()

    (tools.folder / tool).unlink()
    tools.watch("mkfs.ext4")
    assert mounts_of(volume.disk.path) == []
    volume.stage()


@pytest.mark.parametrize(
    "complaint",
    [
        "resize2fs: out of order",
        "resize2fs: Device or resource busy While checking for on-line resizing support",
    ],
)
def test_an_ext4_that_failed_to_grow_is_not_said_to_be_refused(
    volume: Volume, tools: Tools, complaint: str
) -> None:  # F11: the kernel has said nothing of that, and the next stage may change nothing
    volume.stage()
    volume.disk.grow(2)
    tools.replace("resize2fs", f"echo {complaint} >&2; exit 1")

    with refused(grpc.StatusCode.UNAVAILABLE, "resize2fs /dev/loop", complaint):
        volume.expand(volume.staging)

    (status,) = volume.health().health_statuses
    assert status.reason == "GrowthFailed"
    assert complaint in status.message
    (tools.folder / "resize2fs").unlink()


def test_an_ext4_whose_disk_nobody_may_open_while_it_is_mounted_grows_before(
    volume: Volume, tools: Tools
) -> None:  # S8: as on a kernel without CONFIG_BLK_DEV_WRITE_MOUNTED
    volume.stage()
    (volume.staging / "canary").write_text("mine")
    volume.unstage()
    volume.disk.grow(2)
    tools.replace(
        "resize2fs",
        'grep -q "^$1 " /proc/mounts && {'
        ' echo "resize2fs: Device or resource busy while opening $1" >&2; exit 1; };'
        ' exec /sbin/resize2fs "$@"',
    )

    volume.stage()

    usage = os.statvfs(volume.staging)
    assert usage.f_blocks * usage.f_frsize > 1.8 * GIB
    assert (volume.staging / "canary").read_text() == "mine"


def test_a_btrfs_that_has_left_another_disk_grows(
    volume: Volume, make_disk: MakeDisk
) -> None:  # S8, F9: its only device is its second one
    first = make_disk()
    first.format("btrfs")
    volume.staging.mkdir(parents=True, exist_ok=True)
    run("mount", str(first.path), str(volume.staging))
    run("btrfs", "device", "add", "-f", str(volume.disk.path), str(volume.staging))
    run("btrfs", "device", "remove", str(first.path), str(volume.staging))
    run("umount", str(volume.staging))
    volume.disk.grow(2)

    volume.stage("btrfs")

    usage = os.statvfs(volume.staging)
    assert usage.f_blocks * usage.f_frsize > 1.8 * GIB


def test_a_failed_growth_is_worth_a_retry(volume: Volume, tools: Tools) -> None:  # D5
    volume.stage("xfs")
    volume.unstage()
    volume.disk.grow(2)
    tools.replace("xfs_growfs", "echo out of order >&2; exit 1")

    with refused(grpc.StatusCode.UNAVAILABLE, "out of order"):
        volume.stage("xfs")
    (tools.folder / "xfs_growfs").unlink()
    volume.stage("xfs")

    usage = os.statvfs(volume.staging)
    assert usage.f_blocks * usage.f_frsize > 1.8 * GIB


def test_a_growth_that_fails_takes_no_volume_from_its_pods(
    volume: Volume, tools: Tools
) -> None:  # D15, S8: kubelet was started again, and asks for the stage of what is published
    volume.stage("xfs")
    volume.publish(capability=mount_capability("xfs"))
    volume.disk.grow(2)
    tools.replace("xfs_growfs", "echo out of order >&2; exit 1")

    volume.stage("xfs")

    (tools.folder / "xfs_growfs").unlink()
    usage = os.statvfs(volume.staging)
    assert usage.f_blocks * usage.f_frsize < 1.1 * GIB


def test_a_damaged_file_system_is_left_as_it_is(volume: Volume) -> None:  # D8
    volume.disk.format("ext4")
    for group in range(4):
        volume.disk.write(4096 * (1 + group), bytes([0xFF]) * 4096)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "e2fsck", volume.disk.volume_id):
        volume.stage()

    assert mounts_of(volume.disk.path) == []


@pytest.mark.parametrize("attributes", [{}, {"fsck": "never"}])
def test_a_static_volume_with_data_is_mounted_as_it_is(
    volume: Volume, tools: Tools, attributes: dict[str, str]
) -> None:  # F9
    volume.disk.format("ext4")
    before = tools.count("mkfs.ext4")

    volume.stage(context=attributes)

    assert mounts_of(volume.disk.path) == [str(volume.staging)]
    assert tools.count("mkfs.ext4") == before


def test_a_single_writer_has_one_target(volume: Volume) -> None:  # F15
    alone = mount_capability("ext4", mode=Mode.SINGLE_NODE_SINGLE_WRITER)
    volume.stage_as(alone)
    first = volume.publish("first", capability=alone)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, str(first)):
        volume.publish("second", capability=alone)
    volume.unpublish("first")
    volume.publish("second", capability=alone)


def test_a_btrfs_with_a_default_subvolume_has_one_single_writer_too(volume: Volume) -> None:
    """F15: then no mount of it shows the topmost folder."""
    alone = mount_capability("btrfs", mode=Mode.SINGLE_NODE_SINGLE_WRITER)
    volume.stage_as(alone)
    run("btrfs", "subvolume", "create", str(volume.staging / "data"))
    run("btrfs", "subvolume", "set-default", str(volume.staging / "data"))
    volume.unstage()
    volume.stage_as(alone)
    first = volume.publish("first", capability=alone)
    (first / "folder").mkdir()
    (volume.folder / "sub-path").mkdir()
    run("mount", "--bind", str(first / "folder"), str(volume.folder / "sub-path"))

    volume.publish("first", capability=alone)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"already published at {first}"):
        volume.publish("second", capability=alone)
    volume.unpublish("first")
    volume.publish("second", capability=alone)


def test_two_pods_share_a_volume_on_one_node(volume: Volume) -> None:  # F15
    shared = mount_capability("ext4", mode=Mode.SINGLE_NODE_MULTI_WRITER)
    volume.stage_as(shared)

    first = volume.publish("first", capability=shared)
    second = volume.publish("second", capability=shared, readonly=True)
    (first / "file").write_text("seen by both")

    assert (second / "file").read_text() == "seen by both"
    with pytest.raises(OSError, match="Read-only"):
        (second / "file").write_text("no")


def test_a_raw_device_is_shown_as_it_is(volume: Volume) -> None:  # F15
    raw = block_capability()
    volume.stage_as(raw)
    target = volume.publish(capability=raw)

    assert target.is_block_device()
    assert target.stat().st_rdev == volume.disk.path.stat().st_rdev
    usage = volume.usage(target)
    assert usage[csi_pb2.VolumeUsage.BYTES].total == GIB
    assert volume.expand(target) == GIB
    volume.unpublish()
    volume.unstage()

    assert not target.exists()
    assert mounts_of(volume.disk.path) == []


def test_a_raw_device_is_read_only_as_a_whole_or_not_at_all(volume: Volume) -> None:  # F15
    raw = block_capability(Mode.SINGLE_NODE_MULTI_WRITER)
    volume.stage_as(raw)
    volume.publish("reader", capability=raw, readonly=True)

    assert read_only(volume.disk)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "read-only"):
        volume.publish("writer", capability=raw)
    volume.unpublish("reader")
    volume.publish("writer", capability=raw)

    assert not read_only(volume.disk)


@pytest.mark.parametrize("filesystem", ["ext4", "btrfs"])
def test_a_device_whose_file_system_is_mounted_is_not_handed_out_raw(
    volume: Volume, filesystem: str
) -> None:  # F15: the pod would write into the file system of another one
    volume.stage(filesystem)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, str(volume.staging)):
        volume.publish(capability=block_capability())

    assert mounts_of(volume.disk.path) == [str(volume.staging)]
    assert not volume.target().exists()


def test_a_raw_volume_isn_t_handed_out_while_another_pod_would_reach_it(volume: Volume) -> None:
    """D2: a disk that left without its unpublish leaves its target, which reaches the next disk."""
    raw, left = block_capability(), volume.disk.volume_id
    volume.stage_as(raw)
    stale = volume.publish(capability=raw)
    volume.disk.become_another()
    volume.disk.get_new_node()
    volume.stage_as(raw)

    with refused(
        grpc.StatusCode.FAILED_PRECONDITION, volume.disk.volume_id, str(stale), "has left"
    ):
        volume.publish("other", capability=raw)

    assert not volume.target("other").exists()
    volume.node.NodeUnpublishVolume(unpublish(left, stale))
    assert volume.publish("other", capability=raw).is_block_device()
    assert volume.publish("third", capability=raw).is_block_device()


def test_a_device_that_a_pod_has_raw_is_not_mounted(volume: Volume) -> None:  # F15
    volume.disk.format("ext4")
    volume.stage_as(block_capability())
    target = volume.publish(capability=block_capability())

    with refused(grpc.StatusCode.FAILED_PRECONDITION, str(target)):
        volume.stage()

    assert mounts_of(volume.disk.path) == [str(target)]


def test_hostile_mount_flags_are_refused_on_the_node_too(volume: Volume) -> None:  # F13
    for flag in ("loop", "bind", "remount,ro", "norecovery"):
        with refused(grpc.StatusCode.INVALID_ARGUMENT):
            volume.stage(flags=(flag,))

    assert mounts_of(volume.disk.path) == []


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_no_disk_is_probed_twice_in_a_call(volume: Volume, tools: Tools, filesystem: str) -> None:
    """A blank one is probed right before mkfs, and a formatted one before it is mounted."""
    tools.watch("blkid")

    for _ in range(2):
        before = tools.count("blkid")
        volume.stage(filesystem)
        assert tools.count("blkid") == before + 1
        volume.unstage()


def test_mount_flags_are_in_force(volume: Volume) -> None:
    volume.stage(flags=("noatime", "nodiratime"), context=FORMAT)

    assert "noatime" in options_of(volume.staging)


def options_of(path: pathlib.Path) -> str:
    """Return the options of the mount at a path, its file system's own included."""
    return run("findmnt", "--noheadings", "--output", "OPTIONS", str(path))


def read_only(disk: Disk) -> bool:
    return run("blockdev", "--getro", str(disk.path)).strip() == "1"


def kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor.split("-")[0])


def test_a_disk_that_was_swapped_while_it_was_mounted_is_let_go(
    volume: Volume, make_disk: MakeDisk, tools: Tools
) -> None:  # D2
    volume.disk.format("ext4")
    intruder = make_disk()
    swap = f"ln --symbolic --force --no-dereference {intruder.path} {volume.disk.link}"
    tools.replace("mount", f'/usr/bin/mount "$@" && {swap}')

    with refused(grpc.StatusCode.UNAVAILABLE, "unmounted again"):
        volume.stage()

    (tools.folder / "mount").unlink()
    assert mounts_of(volume.disk.path) == []
    assert mounts_of(intruder.path) == []


def test_a_raw_disk_that_was_swapped_while_it_was_published_is_taken_away(
    volume: Volume, make_disk: MakeDisk, start_node: Callable[..., DriverProcess]
) -> None:  # D2: a device node shows whatever disk has its number
    patient = start_node("--time-scale", "20")  # it waits for the lock until this test gives it
    volume, raw = volume.served_by(patient), block_capability()
    volume.stage_as(raw)
    intruder = make_disk()
    target = volume.target()
    target.parent.mkdir(parents=True)
    folder = os.open(target.parent, os.O_RDONLY)
    with ThreadPoolExecutor(1) as threads:
        fcntl.flock(folder, fcntl.LOCK_EX)  # as another process of the driver does while it mounts
        publish = threads.submit(lambda: outcome(lambda: volume.publish(capability=raw)))
        wait_until(target.exists, "what the device is bound to")
        volume.disk.link.unlink()
        volume.disk.link.symlink_to(intruder.path)
        os.close(folder)

    code, message = publish.result()
    assert (code, "no longer its disk" in message) == ("UNAVAILABLE", True), message
    assert mounts_of(volume.disk.path) == []
