"""D15: what an intact file system owns is its data; what is beside it makes the disk another's."""

from __future__ import annotations

import struct
from collections.abc import Callable

import grpc
import pytest

from tests.node.conftest import MakeDisk, Tools, Volume
from tests.node.disks import GIB, Disk, mounts_of, run
from tests.node.traces import jmicron
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

FILESYSTEMS = ("ext4", "ext3", "xfs", "btrfs")
RAID = struct.pack("<I", 0xA92B4EFC)

Trace = Callable[[Disk], None]


def at(offset: int, data: bytes) -> Trace:
    return lambda disk: disk.write(offset, data)


# At the end of the disk, which a tenant's file can fill with them.
DATA: dict[str, Trace] = {
    "JMicron RAID": at(GIB - 512, jmicron()),
    "mdraid 1.0": at(GIB - 8192, RAID),
    "ZFS": at(GIB - 128 * 1024, struct.pack("<Q", 0x00BAB10C)),
    "backup of a GPT": at(GIB - 4096, b"EFI PART"),
}


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("trace", DATA)
def test_a_trace_within_a_file_system_is_its_data(
    volume: Volume, tools: Tools, filesystem: str, trace: str
) -> None:
    volume.stage(filesystem)
    (volume.staging / "canary").write_text("mine")
    volume.unstage()
    before = tools.count(f"mkfs.{filesystem}")
    DATA[trace](volume.disk)

    volume.stage(filesystem)

    assert (volume.staging / "canary").read_text() == "mine"
    assert tools.count(f"mkfs.{filesystem}") == before


@pytest.mark.parametrize("trace", DATA)
def test_a_trace_behind_a_file_system_makes_the_disk_another_s(volume: Volume, trace: str) -> None:
    run("mkfs.ext4", "-q", "-b", "4096", str(volume.disk.path), str((GIB - 1024**2) // 4096))
    DATA[trace](volume.disk)
    before = volume.disk.content()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "ext4", "at byte 1073", "wipefs", "copy"):
        volume.stage()

    assert mounts_of(volume.disk.path) == []
    assert volume.disk.content() == before


@pytest.mark.parametrize(
    ("filesystem", "offset", "data", "name"),
    [
        ("ext4", 512, b"LABELONE" + bytes(16) + b"LVM2 001", "LVM at byte 512"),
        ("ext4", 0, RAID, "mdraid at byte 0"),
        ("ext3", 0, b"LUKS\xba\xbe\x00\x02", "LUKS at byte 0"),
        ("ext4", 446, b"\0" * 4 + b"\x83" + b"\0" * 59 + b"\x55\xaa", "MBR at byte 510"),
        ("ext4", 4096, RAID, "mdraid at byte 4096"),
        ("ext4", 4096, b"EFI PART", "GPT for 4096-byte sectors at byte 4096"),
        ("btrfs", 4096, RAID, "mdraid at byte 4096"),
        ("btrfs", 4096, b"EFI PART", "GPT for 4096-byte sectors at byte 4096"),
    ],
)
def test_a_trace_in_front_of_a_file_system_makes_the_disk_another_s(
    volume: Volume, filesystem: str, offset: int, data: bytes, name: str
) -> None:
    volume.disk.format(filesystem)
    volume.disk.write(offset, data)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, name, volume.disk.volume_id):
        volume.stage(filesystem)

    assert mounts_of(volume.disk.path) == []


def test_a_trace_in_the_second_sector_of_xfs_makes_the_disk_another_s(
    volume: Volume, sector_bytes: int
) -> None:
    """Each of its headers takes one sector: with small ones, byte 4096 is among its own data."""
    volume.disk.format("xfs")
    traces = {512: b"LABELONE" + bytes(16) + b"LVM2 001", 4096: RAID}
    volume.disk.write(sector_bytes, traces[sector_bytes])

    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"at byte {sector_bytes}"):
        volume.stage("xfs")


def test_a_boot_sector_without_partitions_is_no_table(volume: Volume) -> None:
    volume.disk.format("ext4")
    volume.disk.write(0, b"\xeb\x58\x90" + bytes([0x90]) * 500)
    volume.disk.write(510, b"\x55\xaa")

    volume.stage()


def test_a_trace_vetoes_formatting_wherever_it_is(volume: Volume, tools: Tools) -> None:
    before = tools.count("mkfs.ext4")
    DATA["JMicron RAID"](volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "jmicron"):
        volume.stage()

    assert tools.count("mkfs.ext4") == before


def test_a_superblock_that_is_not_whole_decides_nothing(volume: Volume) -> None:
    volume.stage()
    volume.unstage()
    DATA["JMicron RAID"](volume.disk)
    volume.disk.write(1024 + 4, b"\xff\xff")  # its number of blocks, and so its checksum

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "jmicron"):
        volume.stage()


def test_another_file_system_than_asked_for_is_not_mounted(volume: Volume) -> None:
    volume.stage("xfs")
    volume.unstage()
    DATA["JMicron RAID"](volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "jmicron"):
        volume.stage("ext4")


def test_a_btrfs_of_several_devices_is_refused(volume: Volume, make_disk: MakeDisk) -> None:
    run("mkfs.btrfs", "-q", str(volume.disk.path), str(make_disk().path))

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "2 devices", "btrfs device remove"):
        volume.stage("btrfs")

    assert mounts_of(volume.disk.path) == []


@pytest.mark.parametrize("filesystem", ["ext4", "ext3"])
def test_an_ext_whose_journal_is_on_another_volumes_disk_is_refused(
    volume: Volume, make_disk: MakeDisk, filesystem: str
) -> None:  # D2: e2fsck would look for that disk by its id, and the kernel by its number
    other = make_disk()
    run("mke2fs", "-q", "-b", "4096", "-O", "journal_dev", str(other.path))
    volume.disk.format(filesystem, "-q", "-b", "4096", "-J", f"device={other.path}")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "journal on another disk", "tune2fs -j"):
        volume.stage(filesystem)

    assert mounts_of(volume.disk.path) == []
    run("tune2fs", "-O", "^has_journal", str(volume.disk.path))
    run("tune2fs", "-j", str(volume.disk.path))
    run("blockdev", "--flushbufs", str(volume.disk.path))
    volume.stage(filesystem)


def test_a_btrfs_that_is_a_seed_is_refused(volume: Volume) -> None:
    volume.disk.format("btrfs")
    run("btrfstune", "-S", "1", str(volume.disk.path))

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "seed", "btrfstune -S 0"):
        volume.stage("btrfs")

    assert mounts_of(volume.disk.path) == []
