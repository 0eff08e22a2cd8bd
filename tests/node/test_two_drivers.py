"""D1, D10: two drivers at once, as in an upgrade; kubelet's disk frozen, full or broken."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.node.conftest import MakeDisk, Tools, Volume, block_capability, mount_capability
from tests.node.disks import mounts_of, run
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

CHECKS = 100  # a read of a disk is over before the last of them, on a busy machine too
CHECK_SECONDS = 0.02

MakeVolume = Callable[..., Volume]


@pytest.fixture
def kubelet_folder(make_disk: MakeDisk, paths: pathlib.Path) -> Iterator[pathlib.Path]:
    """Plugins' folder, on a file system of its own that may freeze, fill up or turn read-only."""
    disk, folder = make_disk(), paths / "plugins"
    folder.mkdir()
    run("mkfs.ext4", "-q", "-m", "0", str(disk.path), "16m")
    run("mount", str(disk.path), str(folder))
    run("mount", "--make-shared", str(folder))
    yield folder
    subprocess.run(["fsfreeze", "--unfreeze", folder], check=False, capture_output=True)
    run("umount", "--lazy", str(folder))


@pytest.fixture
def start(
    start_node: Callable[..., DriverProcess], kubelet_folder: pathlib.Path
) -> Callable[[], DriverProcess]:
    return lambda: start_node("--time-scale", "1", "--kubelet-path", str(kubelet_folder.parent))


def is_stuck(driver: DriverProcess) -> bool:
    """Tell whether a thread of it waits for a frozen file system, and not just for a disk."""
    stuck = _waiting(driver)
    for _ in range(CHECKS):
        time.sleep(CHECK_SECONDS)
        stuck &= _waiting(driver)
    return bool(stuck)


def _waiting(driver: DriverProcess) -> set[str]:
    """Return the threads that no signal ends."""
    waiting = set()
    for task in pathlib.Path("/proc", str(driver.pid), "task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            if (task / "stat").read_text().rpartition(")")[2].split()[0] == "D":
                waiting.add(task.name)
    return waiting


def test_a_driver_that_slept_does_not_format_what_its_successor_has_formatted(
    volume: Volume, start: Callable[[], DriverProcess], kubelet_folder: pathlib.Path, tools: Tools
) -> None:
    old, new = start(), start()
    before = tools.count("mkfs.ext4")
    run("fsfreeze", "--freeze", str(kubelet_folder))

    with ThreadPoolExecutor() as kubelet:
        call = kubelet.submit(outcome, volume.served_by(old).stage)
        wait_until(lambda: is_stuck(old), "the old driver to wait for kubelet's disk")
        os.kill(old.pid, signal.SIGSTOP)
        try:
            run("fsfreeze", "--unfreeze", str(kubelet_folder))
            successor = volume.served_by(new)
            successor.stage()
            (successor.publish() / "canary").write_text("mine")
            successor.unpublish()
            successor.unstage()
        finally:
            os.kill(old.pid, signal.SIGCONT)
        ended = call.result()

    assert ended[0] in ("OK", "UNAVAILABLE", "ABORTED"), ended
    assert tools.count("mkfs.ext4") == before + 1
    volume.served_by(old).unstage()
    successor.stage()
    assert (volume.staging / "canary").read_text() == "mine"


def test_two_drivers_that_stage_at_once_format_once(
    make_disk: MakeDisk, make_volume: MakeVolume, start: Callable[[], DriverProcess], tools: Tools
) -> None:
    drivers = [start(), start()]
    volumes = [make_volume(make_disk()) for _ in range(4)]
    before = tools.count("mkfs.ext4")

    with ThreadPoolExecutor() as kubelet:
        calls = [
            kubelet.submit(outcome, volume.served_by(driver).stage)
            for volume in volumes
            for driver in drivers
        ]
        codes = {call.result()[0] for call in calls}

    assert codes <= {"OK", "ABORTED", "UNAVAILABLE"}
    for volume in volumes:
        volume.served_by(drivers[0]).stage()
    assert tools.count("mkfs.ext4") == before + len(volumes)


def test_a_full_disk_of_kubelet_does_not_destroy_the_marker(
    volume: Volume, start: Callable[[], DriverProcess], kubelet_folder: pathlib.Path, tools: Tools
) -> None:
    volume = volume.served_by(start())
    tools.replace("mkfs.ext4", "kill -9 $$")
    with refused(grpc.StatusCode.UNAVAILABLE, "SIGKILL"):
        volume.stage()
    volume.disk.write(8192, b"what mkfs had written")
    fill(kubelet_folder)

    with refused(grpc.StatusCode.UNAVAILABLE, "SIGKILL"):
        volume.stage()
    tools.watch("mkfs.ext4")
    volume.stage()

    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_a_full_disk_of_kubelet_only_delays_the_first_stage(
    volume: Volume, start: Callable[[], DriverProcess], kubelet_folder: pathlib.Path, tools: Tools
) -> None:
    volume = volume.served_by(start())
    before = tools.count("mkfs.ext4")
    filler = fill(kubelet_folder)

    with refused(grpc.StatusCode.UNAVAILABLE, "marker", "No space left"):
        volume.stage()
    ran = tools.count("mkfs.ext4") - before
    filler.unlink()
    volume.stage()

    assert ran == 0
    assert tools.count("mkfs.ext4") == before + 1


def test_a_disk_of_kubelet_that_broke_stops_no_volume_that_has_a_file_system(
    make_disk: MakeDisk,
    make_volume: MakeVolume,
    start: Callable[[], DriverProcess],
    kubelet_folder: pathlib.Path,
) -> None:
    driver = start()
    used, blank = (make_volume(make_disk(), driver) for _ in range(2))
    used.stage()
    used.unstage()
    run("mount", "-o", "remount,ro", str(kubelet_folder))

    with refused(grpc.StatusCode.UNAVAILABLE, "nothing is formatted", "Read-only file system"):
        blank.stage()
    used.stage()

    assert mounts_of(used.disk.path) == [str(used.staging)]


def test_a_disk_of_kubelet_that_broke_keeps_no_volume_whose_repair_was_noted(
    volume: Volume, start: Callable[[], DriverProcess], kubelet_folder: pathlib.Path, tools: Tools
) -> None:  # D7, S27
    volume = volume.served_by(start())
    volume.stage("xfs")
    run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))
    tools.replace("mount", "exit 32")
    try:
        with refused(grpc.StatusCode.UNAVAILABLE, "mounting"):
            volume.publish(capability=mount_capability("xfs"))
    finally:
        (tools.folder / "mount").unlink()
    run("mount", "-o", "remount,ro", str(kubelet_folder))

    volume.publish(capability=mount_capability("xfs"))
    volume.unpublish()
    volume.unstage()

    assert mounts_of(volume.disk.path) == []
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "not staged"):  # nothing is repaired any more
        volume.publish(capability=mount_capability("xfs"))
    volume.stage("xfs")


def test_a_disk_of_kubelet_that_broke_keeps_no_volume_whose_protection_was_noted(
    volume: Volume, start: Callable[[], DriverProcess], kubelet_folder: pathlib.Path
) -> None:  # D7, S27
    raw = block_capability()
    volume = volume.served_by(start())
    volume.stage_as(raw)
    volume.publish(capability=raw, readonly=True)
    run("mount", "-o", "remount,ro", str(kubelet_folder))

    volume.unpublish()
    writable = run("blockdev", "--getro", str(volume.disk.path)).strip() == "0"
    volume.unstage()

    assert writable
    assert mounts_of(volume.disk.path) == []


def test_a_young_volume_is_not_used_while_that_cannot_be_recorded(
    volume: Volume, start: Callable[[], DriverProcess], kubelet_folder: pathlib.Path
) -> None:  # N19: it would pass for new later, whatever the node's clock says now
    volume = volume.served_by(start())
    volume.disk.format("ext4")
    run("mount", "-o", "remount,ro", str(kubelet_folder))

    with refused(grpc.StatusCode.UNAVAILABLE, "can't be recorded", "Read-only file system"):
        volume.stage()

    assert mounts_of(volume.disk.path) == []


def fill(folder: pathlib.Path) -> pathlib.Path:
    """Leave no block of the folder's file system free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size_bytes in (1024**2, 4096, 1024):  # a small file system has blocks of 1 KiB
            try:
                while file.write(bytes(size_bytes)) == size_bytes:
                    os.fsync(file.fileno())
            except OSError:
                continue
    return filler
