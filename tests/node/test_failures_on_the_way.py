"""What a stage or an unstage leaves behind when something on its way fails, hangs or lies."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from csi_exoblock.pb import csi_pb2_grpc
from tests.node.conftest import ONLY_UNMOUNTED, Tools, Volume, mount_capability
from tests.node.disks import GIB, Disk, kept_in_another_namespace, mounts_of, run
from tests.node.gates import Gate
from tests.node.requests import unstage
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

# Unmounts, then mounts file systems without a disk until one has the number that came free.
TAKES_THE_NUMBER = """
number() {{ findmnt --noheadings --output MAJ:MIN --mountpoint "$1" | tr -d ' '; }}
wanted=$(number {staging})
/usr/bin/umount "$@" || exit
for each in 1 2 3 4 5 6 7 8 9; do
    mkdir -p {folder}/$each
    mount -t tmpfs taker {folder}/$each
    if [ "$(number {folder}/$each)" = "$wanted" ]; then touch {folder}/taken; exit 0; fi
done
"""


@pytest.fixture
def replace(tools: Tools) -> Iterator[Callable[[str, str], None]]:
    """Replace a command until the test ends."""
    replaced = set()

    def have(name: str, script: str) -> None:
        tools.replace(name, script)
        replaced.add(name)

    yield have
    for name in replaced:
        (tools.folder / name).unlink()
        if name.startswith("mkfs"):
            tools.watch(name)


def test_a_dead_file_system_that_is_in_use_does_not_end_a_stage_for_good(
    volume: Volume,
) -> None:  # D5: after a final error kubelet doesn't unstage, and the disk is detached mounted
    volume.stage("xfs")
    guest = subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=volume.staging)
    try:
        run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))
        with refused(grpc.StatusCode.UNAVAILABLE, str(guest.pid), "still mounted"):
            volume.stage("xfs")
    finally:
        guest.communicate()

    volume.stage("xfs")
    assert mounts_of(volume.disk.path) == [str(volume.staging)]
    (volume.staging / "file").write_text("works again")


def test_a_mount_that_takes_long_is_not_cut_short(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    gate: Callable[..., Gate],
) -> None:  # D15: the kernel begins the mount of a large btrfs all over after a kill
    hurried = start_node("--time-scale", "0.1")  # a command has 3 s
    volume = make_volume(disk, hurried).asked_once()
    disk.format("btrfs")
    end = volume.folder / "end"
    mount = gate("mount", f'/usr/bin/mount "$@" && touch {end}')

    # Another command can be too slow for that as well, on a busy machine.
    wait_until(lambda: "goes on; retry" in outcome(lambda: volume.stage("btrfs"))[1], "the limit")
    mount.wait_until_begun()
    wait_until(lambda: "not interrupted" in outcome(lambda: volume.stage("btrfs"))[1], "a refusal")
    assert outcome(lambda: volume.stage("btrfs"))[0] in ("ABORTED", "UNAVAILABLE")
    mount.open()
    wait_until(lambda: outcome(lambda: volume.stage("btrfs"))[0] == "OK", "the end of the mount")

    assert end.exists()
    assert mounts_of(disk.path) == [str(volume.staging)]
    # A call that waited for the first command can have begun another, for which an unstage waits.
    wait_until(lambda: outcome(volume.unstage)[0] == "OK", "the end of the last mount")
    assert mounts_of(disk.path) == []


def test_a_repair_in_which_the_driver_died_is_finished_by_the_next_one(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    replace: Callable[[str, str], None],
) -> None:  # D7, S15: kubelet thinks that the volume is staged, and won't stage it again
    first = start_node()
    volume = make_volume(disk, first)
    volume.stage("xfs")
    (volume.staging / "file").write_text("written before")
    run("sync", "--file-system", str(volume.staging))
    run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))
    replace("mount", "echo out of order >&2; exit 32")
    with refused(grpc.StatusCode.UNAVAILABLE, "out of order"):
        volume.publish(capability=mount_capability("xfs"))
    first.kill()
    replace("mount", 'exec /usr/bin/mount "$@"')
    second = csi_pb2_grpc.NodeStub(start_node().channel)

    target = Volume(disk, second, volume.staging, volume.folder).publish(
        capability=mount_capability("xfs")
    )

    assert (target / "file").read_text() == "written before"


def test_an_umount_that_outlived_its_driver_takes_no_volume_from_a_pod(
    start_node: Callable[..., DriverProcess],
    make_volume: Callable[..., Volume],
    disk: Disk,
    replace: Callable[[str, str], None],
    tmp_path: pathlib.Path,
) -> None:  # D14, S15: the pod would write to the node's own disk
    begun = tmp_path / "pid"
    first = start_node()
    volume = make_volume(disk, first)
    volume.stage()
    replace(
        "umount",
        f'echo $$ > {begun}.new; mv {begun}.new {begun}; kill -STOP $$; exec /usr/bin/umount "$@"',
    )
    call = volume.node.NodeUnstageVolume.future(unstage(disk.volume_id, volume.staging))
    wait_until(begun.exists, "umount")
    first.kill()
    call.cancel()
    replace("umount", 'exec /usr/bin/umount "$@"')
    second = volume.served_by(start_node())
    try:
        with refused(grpc.StatusCode.ABORTED, "still changes the mounts", "retry"):
            second.unstage()
        again = outcome(second.stage)
    finally:
        os.kill(int(begun.read_text()), signal.SIGCONT)

    wait_until(lambda: outcome(second.unstage)[0] == "OK", "the end of umount")
    second.stage()
    target = second.publish()
    assert again[0] == "OK"  # it was still staged then
    assert len(mounts_of(disk.path)) == 2
    assert target.is_mount()


def test_no_process_that_could_come_late_takes_a_target_away(
    volume: Volume, replace: Callable[[str, str], None]
) -> None:  # D14, S15
    volume.stage()
    target = volume.publish()
    replace("umount", "echo out of order >&2; exit 32")

    volume.unpublish()

    assert not target.exists()
    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_what_was_unstaged_is_not_repaired(
    volume: Volume, replace: Callable[[str, str], None]
) -> None:  # D6, D7: a publish that comes late would mount a disk that is about to be detached
    volume.stage("xfs")
    run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))
    replace("mount", "exit 32")
    with refused(grpc.StatusCode.UNAVAILABLE, "mounting"):
        volume.publish(capability=mount_capability("xfs"))
    replace("mount", 'exec /usr/bin/mount "$@"')
    volume.unstage()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "not staged"):
        volume.publish(capability=mount_capability("xfs"))

    assert mounts_of(volume.disk.path) == []


@pytest.mark.parametrize("has_pods", [False, True])
def test_a_stage_that_died_before_it_grew_the_file_system_is_finished_by_the_next(
    volume: Volume, replace: Callable[[str, str], None], has_pods: bool
) -> None:  # S8: the mount is there, and the kernel won't grow it as it is
    replace("resize2fs", ONLY_UNMOUNTED)
    volume.stage()
    volume.unstage()
    volume.disk.grow(2)
    run("mount", str(volume.disk.path), str(volume.staging))
    if has_pods:
        volume.publish()

    volume.stage()

    usage = os.statvfs(volume.staging)
    assert (usage.f_blocks * usage.f_frsize > 1.8 * GIB) is not has_pods
    assert len(mounts_of(volume.disk.path)) == 1 + has_pods


def test_an_umount_that_lies_is_not_believed(
    volume: Volume, replace: Callable[[str, str], None]
) -> None:  # D4
    volume.stage()
    replace("umount", "exit 0")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "can't be unmounted"):
        volume.unstage()

    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_a_number_that_a_strangers_file_system_gets_next_is_not_the_volumes(
    volume: Volume, replace: Callable[[str, str], None], tmp_path: pathlib.Path
) -> None:  # D4: a pod's tmpfs may be mounted just when a btrfs has gone
    replace("umount", TAKES_THE_NUMBER.format(staging=volume.staging, folder=tmp_path))
    while not (tmp_path / "taken").exists():  # another test may have been faster
        volume.stage("btrfs")
        try:
            volume.unstage()
        finally:
            for taker in filter(pathlib.Path.is_mount, tmp_path.glob("[0-9]*")):
                run("/usr/bin/umount", str(taker))

    assert mounts_of(volume.disk.path) == []


def test_a_mount_that_lies_is_not_believed(
    volume: Volume, replace: Callable[[str, str], None]
) -> None:  # D2, D7
    replace("mount", "exit 0")

    with refused(grpc.StatusCode.UNAVAILABLE, "is mounted at"):
        volume.stage()

    assert mounts_of(volume.disk.path) == []


def test_a_disk_that_is_let_go_late_is_waited_for(
    volume: Volume, start_node: Callable[..., DriverProcess]
) -> None:  # D6
    volume = volume.served_by(start_node("--device-in-use-timeout", "300s"))
    volume.stage()
    with kept_in_another_namespace(volume.disk.path) as keeper:
        assert keeper.stdin is not None
        leaving = threading.Timer(0.3, keeper.stdin.close)
        leaving.start()
        volume.unstage()
        leaving.join()

    assert mounts_of(volume.disk.path) == []


def test_a_label_for_selinux_arrives_as_one_option(
    volume: Volume, replace: Callable[[str, str], None], tmp_path: pathlib.Path
) -> None:  # S24: the kernel here has no SELinux, so only the arguments can be seen
    seen = tmp_path / "arguments"
    replace("mount", f'printf "%s\\n" "$@" >> {seen}; exec /usr/bin/mount "$@"')
    label = 'context="system_u:object_r:container_file_t:s0:c1,c2"'

    volume.stage(flags=(label, "noatime"))

    options = seen.read_text().splitlines()
    assert any(each.startswith(f"{label},noatime") for each in options)
