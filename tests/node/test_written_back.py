"""D14, D6: what a pod wrote is on the disk when the volume is taken from it."""

from __future__ import annotations

import mmap
import os
import pathlib
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.node.conftest import Volume, block_capability
from tests.node.disks import Disk, attached_disk, mounts_of, run
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

RAW = block_capability()
MIB = 1024**2
DATA = os.urandom(MIB)
MORE_THAN_FITS = os.urandom(8 * MIB)


@pytest.fixture
def full_disk(folder: pathlib.Path, tmp_path: pathlib.Path, sector_bytes: int) -> Iterator[Disk]:
    """A disk that fails nearly all writes, for there is room for only 4 MiB of them."""
    backing = tmp_path / "backing"
    backing.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4m", "none", str(backing))
    try:
        with attached_disk(backing, folder / "by-id", sector_bytes=sector_bytes) as disk:
            yield disk
    finally:
        run("umount", str(backing))


def read_direct(file: pathlib.Path, size_bytes: int) -> bytes:
    """Read a file past the page cache."""
    descriptor = os.open(file, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, size_bytes) as buffer:
            os.preadv(descriptor, [buffer], 0)
            return buffer[:]
    finally:
        os.close(descriptor)


def write(path: pathlib.Path, data: bytes) -> int:
    """Write to a device without syncing, and return a descriptor that is still open."""
    file = os.open(path, os.O_RDWR)
    os.pwrite(file, data, 0)
    return file


def test_a_raw_volume_is_written_back_when_it_is_unpublished(volume: Volume) -> None:  # D14
    volume.stage_as(RAW)
    volume.publish(capability=RAW)
    # The last close of a device writes it back, this isn't one; runc has its own device node.
    file = write(volume.disk.path, DATA)
    try:
        volume.unpublish()

        assert read_direct(volume.disk.file, MIB) == DATA
    finally:
        os.close(file)


def test_what_a_late_writer_wrote_is_written_back_when_it_is_unstaged(volume: Volume) -> None:
    volume.stage_as(RAW)
    volume.publish(capability=RAW)
    volume.unpublish()
    os.close(write(volume.disk.path, DATA))

    volume.unstage()

    assert read_direct(volume.disk.file, MIB) == DATA


def test_what_a_late_writer_lost_is_told_when_it_is_unstaged(
    make_volume: Callable[[Disk], Volume], full_disk: Disk
) -> None:  # D14: the kernel writes at the last close, and keeps an error for who asks next
    volume = make_volume(full_disk)
    volume.stage_as(RAW)
    volume.publish(capability=RAW)
    volume.unpublish()
    os.close(write(volume.disk.path, MORE_THAN_FITS))

    with refused(grpc.StatusCode.UNAVAILABLE, "can't be written to its disk", "second failure"):
        volume.unstage()

    volume.unstage()


def test_a_raw_volume_that_can_t_be_written_back_is_kept_once(
    make_volume: Callable[[Disk], Volume], full_disk: Disk
) -> None:  # D14: a dead disk must not keep a pod Terminating
    volume = make_volume(full_disk)
    volume.stage_as(RAW)
    target = volume.publish(capability=RAW)
    volume.publish("other", capability=RAW)
    file = write(volume.disk.path, MORE_THAN_FITS)
    try:
        with refused(grpc.StatusCode.UNAVAILABLE, "can't be written to its disk", "second failure"):
            volume.unpublish()
        assert target.is_block_device()

        volume.unpublish()
    finally:
        os.close(file)

    assert not target.exists()
    assert "WritesLost" in reasons(volume, volume.target("other"))
    volume.unpublish("other")
    volume.unstage()
    volume.stage_as(RAW)
    volume.publish(capability=RAW)
    assert reasons(volume, volume.target()) == []


def test_a_file_system_that_can_t_be_written_back_is_kept_once(
    make_volume: Callable[[Disk], Volume], full_disk: Disk
) -> None:  # D6
    full_disk.format("ext4", "-q", "-O", "^has_journal")
    volume = make_volume(full_disk)
    volume.stage()
    (volume.staging / "file").write_bytes(MORE_THAN_FITS)

    with refused(grpc.StatusCode.UNAVAILABLE, "can't be written to its disk"):
        volume.unstage()
    assert mounts_of(full_disk.path) == [str(volume.staging)]
    volume.unstage()

    assert mounts_of(full_disk.path) == []


def test_a_file_system_that_was_shut_down_leaves_at_once(volume: Volume) -> None:
    # D4, D6: kubelet can't read its path, and the next pod would wait until it is unmounted
    volume.stage("xfs")
    (volume.staging / "file").write_text("kept")
    run("sync", "-f", str(volume.staging))
    run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))

    volume.unstage()

    assert mounts_of(volume.disk.path) == []
    volume.stage("xfs")
    assert (volume.staging / "file").read_text() == "kept"


def test_a_raw_volume_whose_disk_is_gone_is_unpublished(volume: Volume) -> None:  # D14
    volume.stage_as(RAW)
    target = volume.publish(capability=RAW)
    run("losetup", "--detach", str(volume.disk.path))

    volume.unpublish()

    assert not target.exists()


def reasons(volume: Volume, path: pathlib.Path) -> list[str]:
    """Return what ails the volume."""
    return [each.reason for each in volume.health(target=path).health_statuses]
