"""D13: a file system that was frozen and unmounted doesn't keep its disk for ever."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import grpc
import pytest

from tests.node.conftest import Tools, Volume, mount_capability
from tests.node.disks import Disk, kept_in_another_namespace, mounts_of, run
from tests.node.gates import Gate
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

# Claims a disk, as e2fsck and mkfs do, and says who it is.
CLAIM = (
    "import os, signal, sys; os.open(sys.argv[2], os.O_RDONLY | os.O_EXCL); "
    "os.symlink(str(os.getpid()), sys.argv[1]); signal.pause()"
)
A_MOMENT_SECONDS = 1.0

filesystems = pytest.mark.parametrize("filesystem", ["ext4", "ext3", "xfs", "btrfs"])


def freeze(volume: Volume) -> None:
    run("fsfreeze", "--freeze", str(volume.staging))


def thaw(volume: Volume) -> None:
    run("fsfreeze", "--unfreeze", str(volume.staging))


@filesystems
def test_a_volume_that_was_left_frozen_is_unstaged_and_staged_again(
    volume: Volume, filesystem: str
) -> None:
    volume.stage(filesystem)
    target = volume.publish(capability=mount_capability(filesystem))
    (target / "canary").write_text("mine")
    freeze(volume)
    volume.unpublish()

    volume.unstage()

    assert mounts_of(volume.disk.path) == []
    volume.stage(filesystem)
    assert (volume.staging / "canary").read_text() == "mine"
    (volume.staging / "file").write_text("works")


@filesystems
def test_a_disk_that_an_earlier_driver_left_frozen_is_staged(
    volume: Volume, filesystem: str
) -> None:
    volume.stage(filesystem)
    (volume.staging / "canary").write_text("mine")
    freeze(volume)
    run("umount", str(volume.staging))

    volume.stage(filesystem)

    assert (volume.staging / "canary").read_text() == "mine"
    (volume.staging / "file").write_text("works")
    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_a_read_only_file_system_that_was_left_frozen_is_unstaged(volume: Volume) -> None:
    volume.disk.format("ext4")
    volume.stage(flags=("ro",))
    freeze(volume)

    volume.unstage()


def test_a_partition_that_was_left_frozen_is_unstaged(volume: Volume) -> None:
    volume.disk.write(510, b"\x55\xaa")
    run("addpart", str(volume.disk.path), "1", "2048", "1048576")
    try:
        run("mkfs.ext4", "-q", f"{volume.disk.path}p1")
        volume.stage(context={"partition": "1"})
        freeze(volume)
        volume.unstage()
    finally:
        run("delpart", str(volume.disk.path), "1")


def test_the_partition_beside_one_that_was_left_frozen_is_never_mounted(
    volume: Volume,
) -> None:  # D2: it was not proven, and the kernel could write to it
    volume.disk.write(510, b"\x55\xaa")
    run("addpart", str(volume.disk.path), "1", "2048", "524288")
    run("addpart", str(volume.disk.path), "2", "1050624", "524288")
    beside = pathlib.Path(f"{volume.disk.path}p2")
    try:
        run("mkfs.ext4", "-q", f"{volume.disk.path}p1")
        run("mkfs.ext4", "-q", str(beside))
        before = run("dumpe2fs", "-h", str(beside))
        volume.stage(context={"partition": "1"})
        freeze(volume)
        volume.unstage()
        after = run("dumpe2fs", "-h", str(beside))
    finally:
        run("delpart", str(volume.disk.path), "2")
        run("delpart", str(volume.disk.path), "1")

    assert after == before


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_freezer_at_work_is_left_alone(volume: Volume, filesystem: str) -> None:
    volume.stage(filesystem)
    freeze(volume)
    freezer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=volume.staging)
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"pid {freezer.pid} ("):
            volume.unstage()
        thaw(volume)  # it wasn't thawed: a second thaw fails
    finally:
        freezer.communicate()

    volume.unstage()


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_freezer_whose_file_system_was_unmounted_lazily_is_left_alone(
    volume: Volume, filesystem: str
) -> None:
    volume.stage(filesystem)
    freeze(volume)
    held = os.open(volume.staging, os.O_RDONLY)
    try:
        run("umount", "--lazy", str(volume.staging))
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "still in use by"):
            volume.unstage()
        run("fsfreeze", "--unfreeze", f"/proc/{os.getpid()}/fd/{held}")
    finally:
        os.close(held)

    volume.unstage()


@pytest.mark.parametrize("filesystem", ["ext4", "btrfs"])
def test_what_is_frozen_in_another_mount_namespace_is_left_alone(
    volume: Volume, filesystem: str
) -> None:
    volume.stage(filesystem)
    with kept_in_another_namespace(volume.disk.path) as keeper:
        freeze(volume)
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"pid {keeper.pid} ("):
            volume.unstage()
        run(
            "nsenter",
            f"--mount=/proc/{keeper.pid}/ns/mnt",
            "fsfreeze",
            "--unfreeze",
            str(volume.staging),
        )

    volume.unstage()


def test_a_repair_goes_on_after_a_freeze(
    volume: Volume,
) -> None:  # D7
    volume.stage()
    run("mount", "-o", "remount,ro", str(volume.staging))
    freeze(volume)

    def is_published() -> bool:
        with contextlib.suppress(grpc.RpcError):
            return bool(volume.publish())
        return False

    wait_until(is_published, "kubelet to publish it, by repeating the call")
    (volume.publish() / "file").write_text("works again")


def test_a_disk_at_which_a_command_of_an_earlier_driver_works_is_not_waited_for(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    tools: Tools,
    gate: Callable[..., Gate],
) -> None:  # D10: it is told at once that it is in use, and asks again
    volume = make_volume(disk, earlier := start_node())
    volume.stage()
    volume.unstage()
    disk.want_a_check()
    claimed = tools.folder / "claimed"
    check = gate("e2fsck", f"exec {sys.executable} -c '{CLAIM}' {claimed} $2")
    with check:
        check.outlast(lambda: volume.stage(seconds=1.0))
        earlier.kill()
    wait_until(claimed.is_symlink, "e2fsck to claim the disk")
    pid = int(os.readlink(claimed))
    tools.watch("e2fsck")

    try:
        node = start_node("--device-in-use-timeout", "1000s")
        with refused(grpc.StatusCode.ABORTED, disk.volume_id, f"pid {pid} (", "not interrupted"):
            volume.served_by(node).stage()
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: outcome(volume.served_by(node).stage)[0] == "OK", "the end of e2fsck")


def test_a_disk_that_somebody_else_has_mounted_is_refused_with_who_has_it(volume: Volume) -> None:
    # F11, D15: nobody could tell why the pod waits
    volume.stage()
    with kept_in_another_namespace(volume.disk.path) as keeper:
        run("umount", str(volume.staging))
        with refused(
            grpc.StatusCode.UNAVAILABLE,
            volume.disk.volume_id,
            f"its disk {volume.disk.path} is in use by",
            f"pid {keeper.pid} (",
        ):
            volume.stage()

    volume.stage()


def test_a_repair_of_a_disk_that_somebody_else_has_mounted_names_who_has_it(
    volume: Volume,
) -> None:  # D7
    volume.stage()
    run("mount", "-o", "remount,ro", str(volume.staging))
    with (
        kept_in_another_namespace(volume.disk.path) as keeper,
        refused(grpc.StatusCode.UNAVAILABLE, volume.disk.volume_id, f"pid {keeper.pid} ("),
    ):
        volume.publish()

    (volume.publish() / "file").write_text("works again")


def test_a_disk_that_is_claimed_for_a_moment_is_waited_for(
    start_node: Callable[..., DriverProcess], make_volume: Callable[..., Volume], disk: Disk
) -> None:  # D15: udev and other drivers look at a disk, too
    volume = make_volume(disk, start_node("--device-in-use-timeout", "1000s"))
    claim = os.open(disk.path, os.O_RDONLY | os.O_EXCL)
    release = threading.Timer(A_MOMENT_SECONDS, os.close, (claim,))
    release.start()

    volume.stage()

    release.join()
    assert mounts_of(disk.path) == [str(volume.staging)]
