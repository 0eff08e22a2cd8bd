"""S26: a process that hangs on its disk holds up no other volume, and hides no holder (D4)."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.node.conftest import MakeDisk, Tools, Volume, block_capability, mount_capability
from tests.node.disks import Disk, kept_in_another_namespace, run
from tests.node.requests import stage, unstage
from tests.support.grpc_errors import refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

RAW = block_capability()
# If each were waited for in turn, that would take longer than a search for users may.
MANY = 14

# One thread writes to a page of a file and waits for the file system; another one unmaps the file,
# and waits for the first with the memory of the process locked.
HANG = """
import ctypes, mmap, os, sys, threading
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 4096)
at = libc.mmap(None, ctypes.c_size_t(4096), 3, 1, file, ctypes.c_long(0))
os.close(file)
print("ready", flush=True)
sys.stdin.readline()
threading.Thread(target=lambda: ctypes.memset(at, 1, 1)).start()
sys.stdin.readline()
libc.munmap(at, 4096)
"""


@contextmanager
def hung_processes(volume: Volume, number: int) -> Iterator[list[int]]:
    """Have processes hang on files of a volume that is frozen, for the length of the block."""
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", HANG, str(volume.staging / f"file{each}")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for each in range(number)
    ]
    for process in begun:
        assert process.stdout is not None
        process.stdout.readline()
    run("fsfreeze", "--freeze", str(volume.staging))
    try:
        for process in begun:
            assert process.stdin is not None
            for waiting in (1, 2):
                process.stdin.write(b"\n")
                process.stdin.flush()
                wait_until(lambda: _stuck(process.pid) >= waiting, "the process to hang")  # noqa: B023
        yield [process.pid for process in begun]
    finally:
        run("fsfreeze", "--unfreeze", str(volume.staging))
        for process in begun:
            assert process.stdin is not None
            assert process.stdout is not None
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def _stuck(pid: int) -> int:
    """Count the threads that wait where no signal reaches them."""
    tasks = pathlib.Path("/proc", str(pid), "task").iterdir()
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks]
    return states.count("D")


def test_a_process_that_hangs_on_its_disk_keeps_no_other_volume(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:
    frozen, healthy = (make_volume(make_disk()) for _ in range(2))
    frozen.stage()
    healthy.stage()

    with hung_processes(frozen, 1):
        target = healthy.publish()
        assert healthy.usage(target)[csi_pb2.VolumeUsage.BYTES].total
        healthy.unpublish()
        healthy.unstage()

    frozen.unstage()


def test_many_processes_that_hang_are_not_waited_for_one_after_another(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # the search for users would take longer than anybody waits for it
    frozen, healthy = (make_volume(make_disk()) for _ in range(2))
    frozen.stage()
    healthy.stage()

    with hung_processes(frozen, MANY):
        healthy.node.NodeUnstageVolume(unstage(healthy.disk.volume_id, healthy.staging))

    frozen.unstage()


def test_a_volume_that_was_left_frozen_leaves_beside_a_process_that_hangs(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # D13: the process hangs on another disk
    hung, left_frozen = (make_volume(make_disk()) for _ in range(2))
    hung.stage()
    left_frozen.stage()
    run("fsfreeze", "--freeze", str(left_frozen.staging))

    with hung_processes(hung, 1):
        left_frozen.node.NodeUnstageVolume(unstage(left_frozen.disk.volume_id, left_frozen.staging))

    hung.unstage()


def test_a_volume_that_was_left_frozen_is_staged_beside_a_process_that_hangs(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # D13
    hung, left_frozen = (make_volume(make_disk()) for _ in range(2))
    hung.stage()
    left_frozen.stage()
    run("fsfreeze", "--freeze", str(left_frozen.staging))
    run("umount", str(left_frozen.staging))

    with hung_processes(hung, 1):
        left_frozen.node.NodeStageVolume(
            stage(left_frozen.disk.volume_id, left_frozen.staging, mount_capability())
        )

    (left_frozen.staging / "file").write_text("works")
    left_frozen.unstage()
    hung.unstage()


def test_what_an_unstage_that_failed_has_unmounted_is_no_raw_device(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # the retry finds it unmounted, and must not wait for processes that hang elsewhere
    frozen, healthy = (make_volume(make_disk()) for _ in range(2))
    frozen.stage()
    healthy.stage()
    again = unstage(healthy.disk.volume_id, healthy.staging)

    with hung_processes(frozen, 1):
        with (
            kept_in_another_namespace(healthy.disk.path),
            refused(grpc.StatusCode.FAILED_PRECONDITION, "still in use"),
        ):
            healthy.node.NodeUnstageVolume(again)
        healthy.node.NodeUnstageVolume(again)

    frozen.unstage()


def test_what_a_stage_that_failed_never_mounted_is_no_raw_device(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume], tools: Tools
) -> None:  # as when a long mkfs outlasts kubelet's patience, and the pod goes
    frozen, healthy = (make_volume(make_disk()) for _ in range(2))
    frozen.stage()

    with hung_processes(frozen, 1):
        tools.replace("mkfs.ext4", "exit 1")
        with refused(grpc.StatusCode.UNAVAILABLE):
            healthy.stage()
        healthy.node.NodeUnstageVolume(unstage(healthy.disk.volume_id, healthy.staging))

    (tools.folder / "mkfs.ext4").unlink()
    frozen.unstage()


def test_a_process_that_hangs_may_have_mapped_a_raw_device(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # D4: nobody can see whether it has, so the disk is not called free
    frozen, raw = (make_volume(make_disk()) for _ in range(2))
    frozen.stage()
    raw.stage_as(RAW)

    with hung_processes(frozen, 1) as (pid,):
        hangs = f"the memory of pid {pid} ("
        with refused(grpc.StatusCode.UNAVAILABLE, hangs, "can't be seen"):
            raw.node.NodeUnstageVolume(unstage(raw.disk.volume_id, raw.staging))

    raw.unstage()
    frozen.unstage()
