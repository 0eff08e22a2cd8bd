"""D7: a stage for writing is a mount that can be written, or an error and no mount."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.node.conftest import FORMAT, Tools, Volume, block_capability, mount_capability
from tests.node.disks import Disk, mounts_of, run
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

RAW = block_capability()
FILESYSTEMS = ("ext4", "ext3", "xfs", "btrfs")
ALWAYS = {"auto": FORMAT, "never": {**FORMAT, "fsck": "never"}}


@pytest.fixture
def protected(disk: Disk) -> Iterator[Disk]:
    """A disk whose write protection goes with the test: its device is used again."""
    yield disk
    protect(disk, False)


def protect(disk: Disk, on: bool = True) -> None:
    run("blockdev", "--setro" if on else "--setrw", str(disk.path))


def options_of(volume: Volume) -> set[str]:
    return set(run("findmnt", "-n", "-o", "OPTIONS", str(volume.staging)).strip().split(","))


@pytest.mark.parametrize("fsck", ALWAYS)
@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_write_protected_disk_is_refused_until_it_can_be_written(
    volume: Volume, protected: Disk, filesystem: str, fsck: str
) -> None:
    volume.stage(filesystem)
    volume.unstage()
    protect(protected)

    for _ in range(2):
        with refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            *("write-protected", f"blockdev --setrw {protected.path}", protected.volume_id),
        ):
            volume.stage(filesystem, context=ALWAYS[fsck])
        assert mounts_of(protected.path) == []
    protect(protected, False)
    volume.stage(filesystem)

    assert "rw" in options_of(volume)


def test_a_write_protected_blank_disk_is_not_formatted(
    volume: Volume, protected: Disk, tools: Tools
) -> None:
    before = tools.count("mkfs.ext4")
    protect(protected)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "write-protected"):
        volume.stage()

    assert tools.count("mkfs.ext4") == before


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_write_protected_disk_can_be_read(
    volume: Volume, protected: Disk, filesystem: str
) -> None:
    volume.stage(filesystem)
    volume.unstage()
    protect(protected)

    volume.stage(filesystem, flags=("ro",))

    assert "ro" in options_of(volume)


@pytest.mark.parametrize("still", [True, False], ids=["still-protected", "no-longer-protected"])
@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_what_an_earlier_driver_left_read_only_is_mounted_again(
    volume: Volume, protected: Disk, filesystem: str, still: bool
) -> None:
    volume.stage(filesystem)
    volume.unstage()
    protect(protected)
    run("mount", str(protected.path), str(volume.staging))  # which falls back to read-only
    assert "ro" in options_of(volume)

    if still:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "write-protected"):
            volume.stage(filesystem)
        assert mounts_of(protected.path) == []
    protect(protected, False)
    volume.stage(filesystem)
    volume.publish(capability=mount_capability(filesystem))

    (volume.target() / "file").write_text("can be written")


def test_what_the_kernel_mounts_for_reading_only_is_no_stage(volume: Volume) -> None:
    """It may, of its own accord: a file system with a feature that it must not write, for one."""
    volume.disk.format("ext4")
    run(
        "debugfs", "-w", "-R", "set_super_value feature_ro_compat 0x4000046b", str(volume.disk.path)
    )
    run("blockdev", "--flushbufs", str(volume.disk.path))

    with refused(grpc.StatusCode.UNAVAILABLE, "unsupported optional features"):
        volume.stage(context={**FORMAT, "fsck": "never"})

    assert mounts_of(volume.disk.path) == []


def is_protected(disk: Disk) -> bool:
    return run("blockdev", "--getro", str(disk.path)).strip() == "1"


def test_the_protection_of_a_raw_read_only_publish_goes_with_its_last_target(
    volume: Volume, protected: Disk
) -> None:  # F15
    volume.stage_as(RAW)
    for pod in ("one", "two"):
        volume.publish(pod, capability=RAW, readonly=True)
    assert is_protected(protected)

    volume.unpublish("one")
    while_the_other_has_it = is_protected(protected)
    volume.unpublish("two")

    assert while_the_other_has_it
    assert not is_protected(protected)
    volume.unstage()
    volume.stage()
    (volume.staging / "file").write_text("can be written")


def test_a_protection_that_somebody_else_has_set_stays(volume: Volume, protected: Disk) -> None:
    protect(protected)
    volume.stage_as(RAW)
    volume.publish(capability=RAW, readonly=True)
    volume.unpublish()
    volume.unstage()

    assert is_protected(protected)


def test_a_protection_that_an_earlier_driver_has_set_is_lifted(
    volume: Volume, protected: Disk, start_node: Callable[..., DriverProcess]
) -> None:
    volume.stage_as(RAW)
    volume.publish(capability=RAW, readonly=True)
    later = volume.served_by(start_node())
    run("umount", str(volume.target()))  # the earlier one was killed before it could lift it

    later.unpublish()

    assert not is_protected(protected)


def test_a_protection_whose_last_target_went_unseen_is_lifted_when_the_volume_leaves(
    volume: Volume, protected: Disk
) -> None:
    volume.stage_as(RAW)
    volume.publish(capability=RAW, readonly=True)
    run("umount", str(volume.target()))

    volume.unstage()

    assert not is_protected(protected)


def test_a_protection_that_somebody_else_set_after_a_publish_for_writing_stays(
    volume: Volume, protected: Disk
) -> None:
    """The note of the read-only publish before went with the protection that it was about."""
    volume.stage_as(RAW)
    volume.publish(capability=RAW, readonly=True)
    run("umount", str(volume.target()))
    volume.publish("other", capability=RAW)
    volume.unpublish("other")
    protect(protected)
    volume.unstage()

    assert is_protected(protected)
