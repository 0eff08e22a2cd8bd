"""F8: mounts that the vendor's driver made are used, grown and taken down by this one."""

from __future__ import annotations

import pathlib

import grpc
import pytest

from tests.node.conftest import Volume, mount_capability
from tests.node.disks import mounts_of, run
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

# The vendor's driver sets no attribute, so nothing says that such a disk may be formatted.
THEIRS: dict[str, str] = {}

filesystems = pytest.mark.parametrize("filesystem", ["ext4", "xfs"])


def staged_by_the_vendor(volume: Volume, filesystem: str) -> None:
    """Format and mount the volume as the vendor's driver does: with the defaults of the tools."""
    volume.disk.format(filesystem)
    run("mount", "-t", filesystem, "-o", "defaults", str(volume.disk.path), str(volume.staging))
    (volume.staging / "canary").write_text("theirs")


def published_by_the_vendor(volume: Volume) -> pathlib.Path:
    target = volume.target()
    target.mkdir(parents=True)
    run("mount", "-o", "bind", str(volume.staging), str(target))
    return target


@filesystems
def test_what_the_vendor_mounted_is_taken_down(volume: Volume, filesystem: str) -> None:  # F8
    staged_by_the_vendor(volume, filesystem)
    target = published_by_the_vendor(volume)
    assert volume.usage(target)

    volume.unpublish()
    volume.unstage()

    assert mounts_of(volume.disk.path) == []


@filesystems
def test_what_the_vendor_staged_is_staged_and_published_again(
    volume: Volume, filesystem: str
) -> None:  # F8: kubelet repeats both after its own restart, and for the next pod
    capability = mount_capability(filesystem)
    staged_by_the_vendor(volume, filesystem)
    first = published_by_the_vendor(volume)
    (first / "open").write_text("a pod at work")

    volume.stage_as(capability, context=THEIRS)
    volume.publish(capability=capability, context=THEIRS)
    second = volume.publish("second", capability=capability, context=THEIRS)

    assert (second / "canary").read_text() == "theirs"
    assert mounts_of(volume.disk.path) == [str(volume.staging), str(first), str(second)]


def test_what_the_vendor_staged_is_grown(volume: Volume) -> None:  # F8
    staged_by_the_vendor(volume, "xfs")
    target = published_by_the_vendor(volume)
    before = volume.usage(target)[1].total
    volume.disk.grow(2)

    volume.expand(capability=mount_capability("xfs"))

    assert volume.usage(target)[1].total > before * 1.5


@filesystems
def test_a_disk_of_the_vendor_is_mounted_but_never_formatted(
    volume: Volume, filesystem: str
) -> None:  # F8, D1
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "format"):
        volume.stage(filesystem, context=THEIRS)

    volume.disk.format(filesystem)
    volume.stage(filesystem, context=THEIRS)

    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_mount_options_of_the_vendor_s_classes_are_left_out(volume: Volume) -> None:  # F8, D7
    volume.disk.format("ext4")
    flags = ("nofail", "_netdev", "errors=panic", "noatime")

    volume.stage(context=THEIRS, flags=flags)
    target = volume.publish(capability=mount_capability(flags=flags), context=THEIRS)

    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    (staged,) = (line.split() for line in lines if f" {volume.staging} " in line)
    assert "noatime" in staged[5]
    assert "errors=remount-ro" in staged[-1].split(",")
    assert target.is_mount()


def test_what_xfs_does_about_errors_is_no_mount_option(volume: Volume) -> None:  # F13
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "errors=panic"):
        volume.stage("xfs", flags=("errors=panic",))
