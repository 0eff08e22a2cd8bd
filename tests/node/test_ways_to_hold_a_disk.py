"""D4, D6: Unstage says OK exactly when nothing holds the disk, and else it says who does."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.node import requests
from tests.node.conftest import FORMAT, Tools, Volume, block_capability, mount_capability
from tests.node.disks import Disk, kept_in_another_namespace, mounts_of, run
from tests.node.requests import stage
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

RAW = block_capability()


@contextmanager
def python(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that holds something, from when it is ready until the end of the block."""
    child = subprocess.Popen(
        [sys.executable, "-c", f"import os, sys, mmap, threading\n{program}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        yield child
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


READY = "print('ready', flush=True); sys.stdin.read()"
OPEN = f"held = os.open(sys.argv[1], os.O_RDWR); {READY}"
# Python's own mmap keeps a descriptor.
ONLY_MAPPED = """import ctypes; libc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p; \
assert libc.mmap(None, ctypes.c_size_t(4096), 1, 1, held, ctypes.c_long(0)) > 0; os.close(held)"""
MAP = f"held = os.open(sys.argv[1], os.O_RDWR); {ONLY_MAPPED}; {READY}"
OPEN_IN_A_THREAD = f"""
def hold():
    held = os.open(sys.argv[1], os.O_RDWR)
    {READY}
    os._exit(0)
threading.Thread(target=hold).start()
import ctypes; ctypes.CDLL(None).pthread_exit(None)
"""
MAP_IN_A_THREAD = OPEN_IN_A_THREAD.replace(READY, f"{ONLY_MAPPED}; {READY}")
OPEN_IN_A_TABLE_OF_ITS_OWN = f"""
import ctypes
CLONE_FILES = 0x400
def hold():
    assert ctypes.CDLL(None).unshare(CLONE_FILES) == 0
    held = os.open(sys.argv[1], os.O_RDWR)
    {READY}
    os._exit(0)
thread = threading.Thread(target=hold)
thread.start()
thread.join()
"""
# None is of a disk, but a search for holders has to look at each.
MANY_FILES = f"""
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(19_000)]
{READY}
"""
ONLY_NAME = f"held = os.open(sys.argv[1], os.O_PATH); {READY}"
IN_A_FOLDER = f"os.chdir(sys.argv[1]); {READY}"


@pytest.fixture
def node_of_its_own(volume: Volume, tmp_path: pathlib.Path) -> pathlib.Path:
    """A device node as runc makes one for a container: it isn't the one in /dev."""
    node = tmp_path / "xvda"
    os.mknod(node, 0o600 | 0o060000, volume.disk.path.stat().st_rdev)
    return node


@pytest.mark.parametrize(
    "program",
    [OPEN, MAP, OPEN_IN_A_THREAD, MAP_IN_A_THREAD, OPEN_IN_A_TABLE_OF_ITS_OWN],
    ids=["open", "map", "thread", "map of a thread", "table of a thread"],
)
def test_a_raw_device_that_is_open_through_another_node_is_held(
    volume: Volume, node_of_its_own: pathlib.Path, program: str
) -> None:  # D4: its container would go on writing to a disk that is somebody else's by then
    volume.stage_as(RAW)
    volume.publish(capability=RAW)
    with python(program, str(node_of_its_own)) as holder:
        volume.unpublish()

        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"still in use by pid {holder.pid} ("):
            volume.unstage()

    volume.unstage()


def test_who_has_a_raw_target_open_is_named_alone(volume: Volume) -> None:
    """D6: everybody has files of devtmpfs open, and none of them is accused."""
    volume.stage_as(RAW)
    target = volume.publish(capability=RAW)
    with python(OPEN, str(target)) as holder:
        code, message = outcome(volume.unpublish)

    assert code == "FAILED_PRECONDITION"
    assert message.endswith(f"in use by pid {holder.pid} ({pathlib.Path(sys.executable).name})")
    volume.unpublish()
    volume.unstage()


def test_a_name_that_opens_nothing_holds_nothing(
    volume: Volume, node_of_its_own: pathlib.Path
) -> None:
    volume.stage_as(RAW)
    with python(ONLY_NAME, str(node_of_its_own)):
        volume.unstage()


def test_a_raw_device_that_is_closed_late_is_waited_for(
    volume: Volume, node_of_its_own: pathlib.Path, start_node: Callable[..., DriverProcess]
) -> None:  # D6
    volume = volume.served_by(start_node("--device-in-use-timeout", "300s"))
    volume.stage_as(RAW)
    with python(OPEN, str(node_of_its_own)) as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        volume.unstage()


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_mount_in_another_namespace_is_named(volume: Volume, filesystem: str) -> None:
    volume.stage(filesystem)
    with kept_in_another_namespace(volume.disk.path) as keeper:
        holder = f"a mount at {volume.staging} for pid {keeper.pid} ("
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "still in use by", holder):
            volume.unstage()

    volume.unstage()


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_the_users_of_what_was_unmounted_lazily_are_named(volume: Volume, filesystem: str) -> None:
    volume.stage(filesystem)
    with python(IN_A_FOLDER, str(volume.staging)) as holder:
        run("umount", "--lazy", str(volume.staging))
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"in use by pid {holder.pid} ("):
            volume.unstage()

    volume.unstage()


def test_a_loop_device_on_a_raw_device_holds_it(volume: Volume) -> None:
    volume.stage_as(RAW)
    loop = run("flock", "/dev/loop-control", "losetup", "--find", "--show", str(volume.disk.path))
    try:
        name = pathlib.Path(loop.strip()).name
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"still in use by {name}"):
            volume.unstage()
    finally:
        run("losetup", "--detach", loop.strip())

    volume.unstage()


def test_a_loop_device_on_a_file_of_the_volume_holds_it(volume: Volume) -> None:
    volume.stage()
    file = volume.staging / "image"
    file.touch()
    os.truncate(file, 1 << 20)
    loop = run("flock", "/dev/loop-control", "losetup", "--find", "--show", str(file)).strip()
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"in use by {pathlib.Path(loop).name}"):
            volume.unstage()
    finally:
        run("losetup", "--detach", loop)

    volume.unstage()


def test_a_mount_on_a_folder_of_the_volume_holds_it(volume: Volume) -> None:
    volume.stage()
    (volume.staging / "folder").mkdir()
    run("mount", "-t", "tmpfs", "none", str(volume.staging / "folder"))
    try:
        with refused(
            grpc.StatusCode.FAILED_PRECONDITION, f"in use by a mount at {volume.staging}/folder"
        ):
            volume.unstage()
    finally:
        run("umount", str(volume.staging / "folder"))

    volume.unstage()


def test_swap_space_on_a_raw_device_holds_it(volume: Volume) -> None:
    volume.stage_as(RAW)
    run("mkswap", str(volume.disk.path))
    run("swapon", str(volume.disk.path))
    try:
        holder = f"still in use by swap space {volume.disk.path}"
        with refused(grpc.StatusCode.FAILED_PRECONDITION, holder):
            volume.unstage()
    finally:
        run("swapoff", str(volume.disk.path))

    volume.unstage()


@pytest.mark.parametrize(
    ("filesystem", "opening"),
    [("btrfs", 'exec 3<>"$last"; '), ("ext4", 'exec 3<>"$last"; '), ("btrfs", "")],
    ids=["btrfs", "ext4", "before it opens the disk"],
)
def test_an_mkfs_that_outlived_its_driver_holds_the_disk(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    tools: Tools,
    tmp_path: pathlib.Path,
    filesystem: str,
    opening: str,
) -> None:  # D4, D10: mkfs.btrfs doesn't claim the disk, so nothing but its descriptor shows it
    begun = tmp_path / "pid"
    first = start_node()
    volume = make_volume(disk, first)
    tools.replace(
        f"mkfs.{filesystem}",
        f"for last; do :; done; {opening}echo $$ > {begun}.new; mv {begun}.new {begun}; "
        "kill -STOP $$; exec true",
    )
    call = volume.node.NodeStageVolume.future(
        csi_pb2.NodeStageVolumeRequest(
            volume_id=disk.volume_id,
            staging_target_path=str(volume.staging),
            volume_capability=mount_capability(filesystem),
            volume_context=FORMAT,
        )
    )
    wait_until(begun.exists, "mkfs")
    first.kill()
    call.cancel()
    mkfs = int(begun.read_text())
    stub = csi_pb2_grpc.NodeStub(start_node().channel)
    second = Volume(disk, stub, volume.staging, volume.folder)
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"still in use by pid {mkfs} ("):
            second.unstage()
    finally:
        os.kill(mkfs, signal.SIGKILL)
        tools.watch(f"mkfs.{filesystem}")

    wait_until(lambda: outcome(second.unstage)[0] == "OK", "the end of mkfs")
    assert mounts_of(disk.path) == []


def mount_that_outlived_its_driver(
    start_node: Callable[..., DriverProcess], volume: Volume, tools: Tools, begun: pathlib.Path
) -> int:
    """Return the pid of a mount command that stands still, and whose driver has been killed."""
    volume.disk.format("ext4")
    tools.replace(
        "mount",
        f'echo $$ > {begun}.new; mv {begun}.new {begun}; kill -STOP $$; exec /usr/bin/mount "$@"',
    )
    driver = start_node()
    try:
        call = volume.served_by(driver).node.NodeStageVolume.future(
            stage(volume.disk.volume_id, volume.staging, mount_capability())
        )
        wait_until(begun.exists, "mount")
        driver.kill()
        call.cancel()
        return int(begun.read_text())
    finally:
        (tools.folder / "mount").unlink()


def test_a_mount_that_outlived_its_driver_holds_the_disk(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    tools: Tools,
    tmp_path: pathlib.Path,
) -> None:  # D4: it is still to open the disk, which by then is detached or another node's
    volume = make_volume(disk, start_node())
    mount = mount_that_outlived_its_driver(start_node, volume, tools, tmp_path / "pid")
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"still in use by pid {mount} ("):
            volume.unstage()
    finally:
        os.kill(mount, signal.SIGCONT)

    wait_until(lambda: outcome(volume.unstage)[0] == "OK", "the end of mount")
    assert mounts_of(disk.path) == []


def test_a_mount_that_ends_during_the_search_for_holders_is_no_surprise(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    tools: Tools,
    tmp_path: pathlib.Path,
) -> None:  # D4: no mount yet when the mounts were read, no process any more when it would be read
    driver = start_node()
    volume = make_volume(disk, driver)
    with python(MANY_FILES) as first, python(MANY_FILES), python(MANY_FILES):
        mount = mount_that_outlived_its_driver(start_node, volume, tools, tmp_path / "pid")
        request = requests.unstage(disk.volume_id, volume.staging)
        unstage = volume.node.NodeUnstageVolume.future(request)

        def searches() -> bool:
            nonlocal unstage
            if unstage.done():  # a busy test has missed its searches
                unstage = volume.node.NodeUnstageVolume.future(request)
            return lists_files(driver, first)

        try:
            wait_until(searches, "the search for holders is under way", pause_seconds=0.01)
        finally:
            os.kill(mount, signal.SIGCONT)
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "still in use by"):
            unstage.result()

    wait_until(lambda: outcome(volume.unstage)[0] == "OK", "the end of mount")
    assert mounts_of(disk.path) == []


def lists_files(driver: DriverProcess, process: subprocess.Popen[bytes]) -> bool:
    """Return whether a driver lists just now what a process has open."""
    for file in pathlib.Path(f"/proc/{driver.pid}/fd").iterdir():
        with suppress(OSError):  # it has been closed meanwhile
            if str(file.readlink()) == f"/proc/{process.pid}/fd":
                return True
    return False


def test_a_partition_that_is_open_holds_its_disk(volume: Volume) -> None:
    volume.stage_as(RAW)
    run("addpart", str(volume.disk.path), "1", "2048", "4096")
    try:
        with (
            python(OPEN, f"{volume.disk.path}p1") as holder,
            refused(grpc.StatusCode.FAILED_PRECONDITION, f"in use by pid {holder.pid} ("),
        ):
            volume.unstage()
    finally:
        run("delpart", str(volume.disk.path), "1")

    volume.unstage()
