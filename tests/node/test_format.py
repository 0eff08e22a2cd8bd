"""D1: a disk that may hold data is never formatted, whatever fails or lies on the way."""

from __future__ import annotations

import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from tests.node.conftest import FORMAT, MakeDisk, Mode, Table, Tools, Volume
from tests.node.disks import GIB, Disk, run, uuid_of
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome

pytestmark = pytest.mark.root

MKFS = ("mkfs.ext4", "mkfs.ext3", "mkfs.xfs", "mkfs.btrfs")
SECTOR = 4096
LATE_SECONDS = 1.0

Prepare = Callable[[Disk], None]
MakeVolume = Callable[..., Volume]


@dataclass(frozen=True)
class Case:
    """A disk, how it is staged, and what must come of it.

    Attributes:
        blkid: A script to run in place of blkid.
        runs: How often mkfs may run.
    """

    name: str
    code: str
    runs: int = 0
    prepare: Prepare = lambda disk: None
    filesystem: str = "ext4"
    blkid: str = ""
    context: dict[str, str] = field(default_factory=lambda: dict(FORMAT))
    mode: int = Mode.SINGLE_NODE_MULTI_WRITER
    says: str = ""


def at(offset: int, data: bytes) -> Prepare:
    """Put bytes where a format has its signature."""
    return lambda disk: disk.write(offset, data)


def made(filesystem: str, *options: str) -> Prepare:
    return lambda disk: disk.format(filesystem, *options)


def mount_elsewhere(disk: Disk) -> None:
    disk.format("ext4")
    elsewhere = disk.link.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    run("mount", str(disk.path), str(elsewhere))


PROBER = "UNAVAILABLE"
FOREIGN = "FAILED_PRECONDITION"

CASES = [
    Case("blank", "OK", runs=1),
    Case("blank, as xfs", "OK", runs=1, filesystem="xfs"),
    Case("blank, as btrfs", "OK", runs=1, filesystem="btrfs"),
    Case("blank, as ext3", "OK", runs=1, filesystem="ext3"),
    Case("link missing", PROBER, prepare=lambda disk: disk.link.unlink(), says="is not there"),
    Case("disk can't be read", PROBER, prepare=lambda disk: disk.cut()),
    Case("blkid exits 1", PROBER, blkid="exit 1"),
    Case("blkid exits 2 with a complaint", PROBER, blkid="echo broken >&2; exit 2"),
    Case("blkid exits 2 with an answer", PROBER, blkid="echo TYPE=ext4; exit 2"),
    Case("blkid exits 4", PROBER, blkid="exit 4"),
    Case("blkid exits 8", FOREIGN, blkid="exit 8", says="more than one signature"),
    Case("blkid exits 126", PROBER, blkid="exit 126"),
    Case("blkid exits 127", PROBER, blkid="exit 127"),
    Case("blkid is killed", PROBER, blkid="kill -9 $$"),
    Case("blkid hangs", PROBER, blkid="sleep 60"),
    Case("blkid talks garbage", PROBER, blkid="head -c 100 /dev/urandom; exit 0"),
    Case("blkid lies about an ext4", PROBER, blkid="echo TYPE=ext4; exit 0"),
    Case("ext4, asked for xfs", FOREIGN, prepare=made("ext4"), filesystem="xfs", says="ext4"),
    Case("xfs, asked for ext4", FOREIGN, prepare=made("xfs"), says="xfs"),
    Case("btrfs, asked for ext4", FOREIGN, prepare=made("btrfs"), says="btrfs"),
    Case("ext4, blkid blind", FOREIGN, prepare=made("ext4"), blkid="exit 2", says="ext"),
    Case("xfs, blkid blind", FOREIGN, prepare=made("xfs"), blkid="exit 2", says="xfs"),
    Case("btrfs, blkid blind", FOREIGN, prepare=made("btrfs"), blkid="exit 2", says="btrfs"),
    Case("LUKS", FOREIGN, prepare=at(0, b"LUKS\xba\xbe\x00\x02"), says="LUKS"),
    Case("LVM", FOREIGN, prepare=at(512, b"LABELONE" + bytes(16) + b"LVM2 001"), says="LVM"),
    Case("swap", FOREIGN, prepare=at(SECTOR - 10, b"SWAPSPACE2"), says="swap"),
    Case("mdraid", FOREIGN, prepare=at(SECTOR, struct.pack("<II", 0xA92B4EFC, 1)), says="raid"),
    Case("GPT of 4 KiB sectors", FOREIGN, prepare=at(SECTOR, b"EFI PART"), says="GPT"),
    Case("GPT of 512-byte sectors", FOREIGN, prepare=at(512, b"EFI PART"), says="512-byte"),
    Case("ZFS", FOREIGN, prepare=at(128 * 1024, struct.pack("<Q", 0x00BAB10C)), says="ZFS"),
    Case("MBR", FOREIGN, prepare=at(510, b"\x55\xaa"), says="MBR"),
    Case("ZFS", FOREIGN, prepare=at(128 * 1024, struct.pack("<Q", 0xBAB10C)), says="ZFS"),
    Case(
        "ZFS at the end", FOREIGN, prepare=at(GIB - 2048, struct.pack(">Q", 0xBAB10C)), says="ZFS"
    ),
    Case("one byte just before 2 MiB", FOREIGN, prepare=at(2 * 1024**2 - 1, b"\1"), says="zeroed"),
    Case("one byte at the very end", FOREIGN, prepare=at(GIB - 1, b"\1"), says="zeroed"),
    Case("data without a signature at the start", FOREIGN, prepare=at(8192, b"my data")),
    Case("data without a signature at the end", FOREIGN, prepare=at(GIB - 4096, b"my data")),
    Case("blank, restored", FOREIGN, context={"format": "never"}, says="format: ifBlank"),
    Case("blank, made by hand", FOREIGN, context={}, says="format: ifBlank"),
    Case("blank, asked for reading only", FOREIGN, mode=Mode.SINGLE_NODE_READER_ONLY),
    Case("mounted elsewhere", FOREIGN, prepare=mount_elsewhere, says="already mounted"),
]


@pytest.fixture
def blkid(tools: Tools) -> Iterator[Tools]:
    yield tools
    (tools.folder / "blkid").unlink(missing_ok=True)


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_only_a_disk_that_is_proven_blank_is_formatted(
    volume: Volume,
    blkid: Tools,
    case: Case,
    table: Table,
) -> None:  # D1, F9
    case.prepare(volume.disk)
    if case.blkid:
        blkid.replace("blkid", case.blkid)
        volume = volume.asked_once()  # one of them hangs
    before = blkid.count(*MKFS)

    code, message = outcome(
        lambda: volume.stage(
            case.filesystem,
            context=case.context,
            mode=cast(Mode.Mode.ValueType, case.mode),
        )
    )

    runs = blkid.count(*MKFS) - before
    table.add(case.name, expected=f"{case.code}, mkfs {case.runs}", seen=f"{code}, mkfs {runs}")
    assert (code, runs) == (case.code, case.runs), message
    assert case.says.lower() in message.lower()


def test_a_blank_disk_whose_link_appears_late_is_formatted(
    volume: Volume, tools: Tools, start_node: Callable[..., DriverProcess]
) -> None:  # S6
    patient = volume.served_by(start_node("--device-wait-timeout", "300s"))
    volume.disk.link.unlink()
    coming = threading.Timer(LATE_SECONDS, volume.disk.attach)
    before = tools.count(*MKFS)

    coming.start()
    patient.stage()
    coming.join()

    assert tools.count(*MKFS) == before + 1


@pytest.fixture(scope="module")
def trusting(start_node: Callable[..., DriverProcess]) -> DriverProcess:
    """A driver that doesn't ask for zeros."""
    return start_node("--require-zeroed-device", "false")


def test_a_disk_that_is_not_zeroed_is_formatted_if_a_flag_allows_it(
    trusting: DriverProcess, make_volume: MakeVolume, disk: Disk
) -> None:  # D1
    disk.write(8192, b"left by somebody")

    make_volume(disk, trusting).stage()


RAID = struct.pack("<I", 0xA92B4EFC)
SIGNATURES: dict[str, Prepare] = {
    "ext": at(1024 + 0x38, b"\x53\xef"),
    "xfs": at(0, b"XFSB"),
    "btrfs": at(0x10040, b"_BHRfS_M"),
    "LUKS": at(0, b"LUKS\xba\xbe"),
    "LUKS, second header": at(0, b"SKUL\xba\xbe"),
    "LVM": at(512, b"LABELONE"),
    "LVM, label in the fourth sector": at(3 * 512, b"LABELONE"),
    "mdraid 1.1": at(0, RAID),
    "mdraid 1.2": at(4096, RAID),
    "mdraid 1.0": at(GIB - 8192, RAID),
    "mdraid 0.90": at(GIB - 65536, RAID),
    "swap": at(4096 - 10, b"SWAPSPACE2"),
    "swap of larger pages": at(65536 - 10, b"SWAPSPACE2"),
    "ZFS": at(128 * 1024, struct.pack("<Q", 0x00BAB10C)),
    "ZFS, label at the end": at(GIB - 128 * 1024, struct.pack(">Q", 0x00BAB10C)),
    "GPT of 4 KiB sectors": at(4096, b"EFI PART"),
    "GPT of 512-byte sectors": at(512, b"EFI PART"),
    "GPT, copy at the end": at(GIB - 4096, b"EFI PART"),
    "MBR": at(510, b"\x55\xaa"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_second_prober_alone_knows_what_is_not_blank(
    trusting: DriverProcess,
    make_volume: MakeVolume,
    disk: Disk,
    blkid: Tools,
    name: str,
    table: Table,
) -> None:  # D1: neither blkid nor the zeros save the disk here
    SIGNATURES[name](disk)
    blkid.replace("blkid", "exit 2")
    before = blkid.count(*MKFS)

    code, message = outcome(make_volume(disk, trusting).stage)

    seen = f"{code}, mkfs {blkid.count(*MKFS) - before}"
    table.add(f"{name}; neither blkid nor zeros", expected=f"{FOREIGN}, mkfs 0", seen=seen)
    assert seen == f"{FOREIGN}, mkfs 0"
    assert name.split(",")[0].split(" ")[0].lower() in message.lower()


def test_what_was_formatted_once_is_never_formatted_again(volume: Volume, tools: Tools) -> None:
    volume.stage()
    (volume.staging / "canary").write_text("mine")
    volume.unstage()
    before = tools.count(*MKFS)

    volume.stage()

    assert (volume.staging / "canary").read_text() == "mine"
    assert tools.count(*MKFS) == before


def test_a_disk_that_takes_the_place_of_a_proven_one_is_not_formatted(
    volume: Volume, make_disk: MakeDisk, tools: Tools, sector_bytes: int
) -> None:  # D1: between the last read of a disk and mkfs it is pulled out, and another plugged in
    intruder = make_disk()
    intruder.format("ext4")
    before = uuid_of(intruder)
    device = volume.disk.path
    tools.replace(
        "mkfs.ext4",
        # Alone with the free devices: another test's disk could take this one.
        f'flock /dev/loop-control sh -c "losetup --detach {device}; '
        f'losetup --sector-size {sector_bytes} {device} {intruder.file}"; '
        f'exec {shutil.which("mkfs.ext4")} "$@"',
    )

    outcome(volume.stage)

    tools.watch("mkfs.ext4")
    assert uuid_of(intruder) == before


def test_made_for_512_byte_sectors_is_refused_with_the_reason(
    make_volume: Callable[[Disk], Volume], make_disk: MakeDisk
) -> None:  # S25
    volume = make_volume(make_disk(sector_bytes=4096))
    old = make_disk(sector_bytes=512)
    old.format("xfs", "-s", "size=512", "-m", "crc=1", "-b", "size=1024")
    old.copy_to(volume.disk)

    code, message = outcome(lambda: volume.stage("xfs"))

    assert code == FOREIGN
    assert "1024-byte sectors" in message or "512-byte sectors" in message
