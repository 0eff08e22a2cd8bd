"""What a stage or an unstage leaves behind when something on its way fails, hangs or lies."""

from __future__ import annotations

import pathlib
import subprocess
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.grpc_errors import refused
from tests.node.conftest import Tools, Volume
from tests.node.disks import mounts_of, run

pytestmark = pytest.mark.root


@pytest.fixture
def replace(tools: Tools) -> Iterator[Callable[[str, str], None]]:
    """Replace a command until the test ends."""
    replaced = []

    def have(name: str, script: str) -> None:
        tools.replace(name, script)
        replaced.append(name)

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


def test_an_umount_that_lies_is_not_believed(
    volume: Volume, replace: Callable[[str, str], None]
) -> None:  # D4
    volume.stage()
    replace("umount", "exit 0")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "can't be unmounted"):
        volume.unstage()

    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_a_mount_that_lies_is_not_believed(
    volume: Volume, replace: Callable[[str, str], None]
) -> None:  # D2, D7
    replace("mount", "exit 0")

    with refused(grpc.StatusCode.UNAVAILABLE, "is mounted at"):
        volume.stage()

    assert mounts_of(volume.disk.path) == []


def test_a_disk_that_is_let_go_late_is_waited_for(volume: Volume) -> None:  # D6
    volume.stage()
    keeper = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    keeper.stdout.readline()
    leaving = threading.Timer(0.3, keeper.stdin.close)
    leaving.start()
    try:
        volume.unstage()
    finally:
        leaving.join()
        keeper.wait()
        keeper.stdout.close()

    assert mounts_of(volume.disk.path) == []


def test_a_label_for_selinux_arrives_as_one_option(
    volume: Volume, replace: Callable[[str, str], None], tmp_path: pathlib.Path
) -> None:  # S24: the kernel here has no SELinux, so only the arguments can be seen
    seen = tmp_path / "arguments"
    replace("mount", f'printf "%s\\n" "$@" >> {seen}; exec /usr/bin/mount "$@"')
    label = 'context="system_u:object_r:container_file_t:s0:c1,c2"'

    volume.stage(flags=(label, "noatime"))

    options = seen.read_text().splitlines()
    assert f"{label},noatime" in options
