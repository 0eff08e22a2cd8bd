"""D8: a file system is checked before it is mounted; nothing but e2fsck -p writes to the disk."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc
import pytest

from tests.node.conftest import FORMAT, MakeDisk, Table, Tools, Volume
from tests.node.disks import PAGE_BYTES, Disk, content_of, mounts_of, run
from tests.support.grpc_errors import outcome, refused

pytestmark = pytest.mark.root

OK, REFUSED, UNKNOWN = "OK", "FAILED_PRECONDITION", "UNAVAILABLE"

# Keeps the disk's content, as it is before e2fsck and as it is after it.
KEEPING = """
for device; do :; done
content=$(losetup --noheadings --output BACK-FILE $device)
keep() {{ blockdev --flushbufs $device; cp --sparse=always $content {folder}/$1; }}
keep before; /usr/sbin/e2fsck "$@"; code=$?; keep after; exit $code
"""

Prepare = Callable[[Disk, Disk, pathlib.Path], None]


def power_cut(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    """Copy a file system that is mounted: its journal is dirty."""
    with _in_use(other, folder):
        other.copy_to(disk)


def orphans(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    """Copy a file system with files that are open, but have no name any more."""
    with _in_use(other, folder), (folder / "orphan").open("w") as file:
        file.write("mine")
        (folder / "orphan").unlink()
        run("sync", "--file-system", str(folder))
        other.copy_to(disk)


def clean(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    disk.format("ext4")


def marked_faulty(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    disk.format("ext4")
    _debugfs(disk, "set_super_value state 2")


def often_mounted(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    """Leave a file system that asks for a check after that number of mounts."""
    disk.format("ext4")
    _debugfs(disk, "set_super_value max_mnt_count 3")
    _debugfs(disk, "set_super_value mnt_count 3")


def long_unchecked(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    """Leave one that wants to be checked every second."""
    disk.format("ext4")
    _debugfs(disk, "set_super_value checkinterval 1")
    _debugfs(disk, "set_super_value lastcheck 20200101000000")


def newer_than_e2fsck(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    """Leave one with a feature that the kernel may ignore, and e2fsck doesn't know."""
    marked_faulty(disk, other, folder)
    _debugfs(disk, "set_super_value feature_compat 0x4000003c")


def newer_than_the_kernel(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    marked_faulty(disk, other, folder)
    _debugfs(disk, "set_super_value feature_incompat 0x800002c2")


def without_group_descriptors(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    disk.format("ext4")
    disk.write(PAGE_BYTES, bytes([0xFF]) * 4 * PAGE_BYTES)


def faulty_without_them(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    marked_faulty(disk, other, folder)
    disk.write(PAGE_BYTES, bytes([0xFF]) * 4 * PAGE_BYTES)


def bad_superblock(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    disk.format("ext4")
    disk.write(1024 + 4, b"\xff\xff")  # its checksum is wrong now


def no_superblock(disk: Disk, other: Disk, folder: pathlib.Path) -> None:
    disk.format("ext4")
    disk.write(0, bytes(PAGE_BYTES))


@dataclass(frozen=True)
class Case:
    """An ext4 that was left in some way, and what must come of staging it.

    Attributes:
        prepare: Leaves it so, on the first disk, perhaps by way of the second.
        e2fsck: A script to run in its place.
        checks: How often it may run.
    """

    name: str
    code: str
    prepare: Prepare = marked_faulty
    e2fsck: str = ""
    checks: int = 1
    context: dict[str, str] = field(default_factory=lambda: dict(FORMAT))
    says: tuple[str, ...] = ()


NO_MEMORY = "Memory allocation failed"
MANUAL = ("e2fsck -f", "snapshot")

CASES = [
    Case("clean", OK, clean, checks=0),
    Case("mounted often enough", OK, often_mounted),
    Case("not checked for long", OK, long_unchecked),
    Case("newer than e2fsck", OK, newer_than_e2fsck),
    Case("newer than the kernel", UNKNOWN, newer_than_the_kernel),
    Case("dirty journal", OK, power_cut),
    Case("orphan inodes", OK, orphans),
    Case("marked faulty, though it isn't", OK, marked_faulty),
    Case("group descriptors destroyed", REFUSED, without_group_descriptors, checks=0, says=MANUAL),
    Case("faulty, and they are destroyed too", REFUSED, faulty_without_them, says=MANUAL),
    Case("superblock's checksum wrong", UNKNOWN, bad_superblock, says=("superblock checksum",)),
    Case("superblock overwritten", REFUSED, no_superblock, checks=0, says=("isn't zeroed",)),
    Case("fsck: never", OK, context={**FORMAT, "fsck": "never"}, checks=0),
    Case("e2fsck exits 1", OK, e2fsck="exit 1"),
    Case("e2fsck exits 2", OK, e2fsck="exit 2"),
    Case("e2fsck exits 4", REFUSED, e2fsck="echo INCONSISTENCY; exit 4", says=MANUAL),
    Case("e2fsck exits 5", REFUSED, e2fsck="exit 5", says=MANUAL),
    Case("e2fsck exits 8", UNKNOWN, e2fsck=f"echo {NO_MEMORY} >&2; exit 8", says=(NO_MEMORY,)),
    Case("e2fsck exits 12", UNKNOWN, e2fsck="exit 12"),
    Case("e2fsck exits 8, no errors are recorded", OK, often_mounted, e2fsck="exit 8"),
    Case("e2fsck exits 12, no errors are recorded", OK, often_mounted, e2fsck="exit 12"),
    Case("e2fsck exits 16", UNKNOWN, e2fsck="echo out of order >&2; exit 16", says=("out of",)),
    Case("e2fsck exits 32", UNKNOWN, e2fsck="exit 32"),
    Case("e2fsck exits 126", UNKNOWN, e2fsck="exit 126"),
    Case("e2fsck exits 127", UNKNOWN, e2fsck="exit 127"),
    Case("e2fsck is killed", UNKNOWN, e2fsck="kill -9 $$", says=("SIGKILL",)),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_only_what_e2fsck_calls_sound_is_mounted(
    volume: Volume,
    make_disk: MakeDisk,
    e2fsck: Tools,
    tmp_path: pathlib.Path,
    case: Case,
    table: Table,
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    case.prepare(volume.disk, make_disk(), folder)
    e2fsck.replace("e2fsck", case.e2fsck or KEEPING.format(folder=tmp_path))
    before, ran = volume.disk.content(), len(e2fsck.runs("e2fsck"))

    code, message = outcome(lambda: volume.stage(context=case.context))

    runs = e2fsck.runs("e2fsck")[ran:]
    table.add(
        f"ext4, {case.name}",
        expected=f"{case.code}, e2fsck {case.checks}",
        seen=f"{code}, e2fsck {len(runs)}",
    )
    assert (code, len(runs)) == (case.code, case.checks), message
    assert all(f" -p {volume.disk.path}" in run and " -y" not in run for run in runs)
    for text in (*case.says, *((volume.disk.volume_id,) if code == REFUSED else ())):
        assert text in message
    if code != OK:
        assert mounts_of(volume.disk.path) == []
    if not case.e2fsck and case.checks:
        assert content_of(tmp_path / "before") == before
        if code != OK:
            assert volume.disk.content() == content_of(tmp_path / "after")
    elif code != OK:
        assert volume.disk.content() == before


def test_a_read_only_stage_checks_nothing(volume: Volume, e2fsck: Tools) -> None:
    volume.disk.format("ext4")
    before = e2fsck.count("e2fsck")

    volume.stage(flags=("ro",))

    assert e2fsck.count("e2fsck") == before


def test_an_xfs_that_needs_cleaning_is_left_to_a_person(volume: Volume) -> None:
    volume.disk.format("xfs", "-s", "size=4096")
    volume.disk.write(2 * PAGE_BYTES, bytes([0xFF]) * PAGE_BYTES)  # it says where the inodes are

    with refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        *("Structure needs cleaning", "xfs_repair", volume.disk.volume_id, "snapshot"),
    ):
        volume.stage("xfs")

    assert mounts_of(volume.disk.path) == []


@pytest.fixture
def e2fsck(tools: Tools) -> Iterator[Tools]:
    tools.watch("e2fsck")
    yield tools
    (tools.folder / "e2fsck").unlink()


@contextlib.contextmanager
def _in_use(disk: Disk, folder: pathlib.Path) -> Iterator[None]:
    """Mount a new file system and write to it, at least until the block ends."""
    disk.format("ext4")
    run("mount", str(disk.path), str(folder))
    try:
        (folder / "file").write_text("mine")
        run("sync", "--file-system", str(folder))
        yield
    finally:
        run("umount", str(folder))


def _debugfs(disk: Disk, command: str) -> None:
    done = subprocess.run(
        ["debugfs", "-w", "-R", command, disk.path], capture_output=True, check=True
    )
    assert done.stdout == b""
    run("blockdev", "--flushbufs", str(disk.path))
