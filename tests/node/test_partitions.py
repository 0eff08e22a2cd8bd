"""F9: a volume made elsewhere may have its file system on a partition, which stays as it is."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.node.conftest import MakeDisk, Tools, Volume
from tests.node.disks import GIB, Disk, mounts_of, run
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

FIRST_BYTES = 1024**2
SIZE_BYTES = GIB // 2
FIRST = {"partition": "1"}


@pytest.fixture
def disk(make_disk: MakeDisk) -> Iterator[Disk]:
    """A disk with a partition in the first half; of its table only the signature is there."""
    made = make_disk()
    made.write(510, b"\x55\xaa")
    run("addpart", str(made.path), "1", str(FIRST_BYTES // 512), str(SIZE_BYTES // 512))
    yield made
    for target in reversed(mounts_of(partition_of(made))):
        run("umount", target)
    run("delpart", str(made.path), "1")


def partition_of(disk: Disk) -> pathlib.Path:
    return disk.path.with_name(f"{disk.path.name}p1")


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_partition_lives_like_a_volume_but_never_grows(
    volume: Volume, tools: Tools, filesystem: str
) -> None:
    partition = partition_of(volume.disk)
    run(f"mkfs.{filesystem}", "-q", str(partition))
    before = tools.count(f"mkfs.{filesystem}")

    volume.stage(filesystem, context=FIRST)
    volume.stage(filesystem, context=FIRST)
    target = volume.publish()
    (target / "canary").write_text("mine")
    size = volume.usage(target)[csi_pb2.VolumeUsage.BYTES].total
    assert volume.expand(target) == GIB
    assert volume.usage(target)[csi_pb2.VolumeUsage.BYTES].total == size
    with refused(grpc.StatusCode.FAILED_PRECONDITION, str(target)):
        volume.unstage()
    volume.unpublish()
    volume.unstage()

    assert size <= SIZE_BYTES
    assert mounts_of(partition) == []
    assert tools.count(f"mkfs.{filesystem}") == before


def test_a_blank_partition_is_not_formatted(volume: Volume, tools: Tools) -> None:
    before = tools.count("mkfs.ext4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "blank"):
        volume.stage(context=FIRST)

    assert tools.count("mkfs.ext4") == before


def test_a_partition_that_is_not_there_is_not_found(volume: Volume) -> None:
    with refused(grpc.StatusCode.NOT_FOUND, "no partition 2"):
        volume.stage(context={"partition": "2"})


def test_a_partition_is_never_to_be_formatted(volume: Volume) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "never formatted"):
        volume.stage(context={**FIRST, "format": "ifBlank"})


def test_a_disk_with_partitions_is_refused_unless_one_is_named(volume: Volume) -> None:
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MBR"):
        volume.stage()
