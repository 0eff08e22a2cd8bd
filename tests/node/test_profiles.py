"""S17, N9: what mkfs makes is the same everywhere, and old kernels mount it."""

from __future__ import annotations

import re
import subprocess

import grpc
import pytest

from tests.node.conftest import FORMAT, Tools, Volume
from tests.node.disks import mounts_of, run
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

EXT3 = "has_journal ext_attr resize_inode dir_index filetype sparse_super large_file"
EXT4 = f"{EXT3} extent 64bit flex_bg huge_file dir_nlink extra_isize metadata_csum"
# Of `lts_4.19`.
XFS = (
    "isize=512 sectsz=4096 crc=1 finobt=1 sparse=1 rmapbt=0 reflink=0 bigtime=0 inobtcount=0"
    " nrext64=0 bsize=4096 ftype=1"
)
# The kernel adds the second one at the first mount.
BTRFS = "MIXED_BACKREF BIG_METADATA EXTENDED_IREF SKINNY_METADATA NO_HOLES"


@pytest.mark.parametrize(("filesystem", "golden"), [("ext3", EXT3), ("ext4", EXT4)])
def test_ext_has_these_features_and_no_others(volume: Volume, filesystem: str, golden: str) -> None:
    stage_once(volume, filesystem)

    shown = run("dumpe2fs", "-h", str(volume.disk.path))
    found = dict(re.findall(r"^([\w ]+?):\s+(.*)$", shown, re.MULTILINE))
    assert set(found["Filesystem features"].split()) == set(golden.split())
    sizes = ("Block size", "Inode size", "Reserved block count")
    assert [found[size] for size in sizes] == ["4096", "256", "0"]


@pytest.mark.parametrize(
    ("compat", "other"), [({}, ""), ({"xfsCompat": "lts_5.15"}, "reflink=1 bigtime=1 inobtcount=1")]
)
def test_xfs_has_this_geometry(volume: Volume, compat: dict[str, str], other: str) -> None:
    """N9: above all, its sectors are those of the platform's disks, which no other exceeds."""
    volume.stage("xfs", context={**FORMAT, **compat})

    found = dict(re.findall(r"(\w+)=(\w+)", run("xfs_info", str(volume.staging)).split("log ")[0]))
    golden = dict(part.split("=") for part in f"{XFS} {other}".split())
    assert {name: found[name] for name in golden} == golden


def test_btrfs_has_these_features_and_no_others(volume: Volume) -> None:
    stage_once(volume, "btrfs")

    shown = run("btrfs", "inspect-internal", "dump-super", str(volume.disk.path))
    (listed,) = re.findall(r"^incompat_flags.*?\(([^)]*)\)", shown, re.MULTILINE | re.DOTALL)
    assert set(listed.replace("|", " ").split()) == set(BTRFS.split())
    assert re.search(r"^sectorsize\s+4096$", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("filesystem", "asked", "not_asked"),
    [("ext4", "discard", "nodiscard"), ("xfs", "", "-K"), ("btrfs", "", "-K")],
)
def test_nothing_is_discarded_unless_asked(
    volume: Volume, tools: Tools, filesystem: str, asked: str, not_asked: str
) -> None:  # D10
    stage_once(volume, filesystem)
    by_default = re.split("[ ,]", tools.runs(f"mkfs.{filesystem}")[-1])
    volume.disk.erase()
    volume.stage(filesystem, context={**FORMAT, "discardOnFormat": "true"})
    by_wish = re.split("[ ,]", tools.runs(f"mkfs.{filesystem}")[-1])

    assert not_asked in by_default
    assert not_asked not in by_wish
    assert not asked or (asked in by_wish and asked not in by_default)


def test_a_file_system_that_the_kernel_refuses_is_explained_in_its_own_words(
    volume: Volume,
) -> None:
    volume.disk.format("ext4", "-O", "^metadata_csum")
    subprocess.run(
        ["debugfs", "-w", "-R", "set_super_value feature_incompat 0x10000242", volume.disk.path],
        check=True,
        capture_output=True,
    )

    own_words = f"(kernel: EXT4-fs ({volume.disk.path.name}): "
    with refused(grpc.StatusCode.UNAVAILABLE, own_words, "unsupported"):
        volume.stage(context={"fsck": "never"})

    assert mounts_of(volume.disk.path) == []


def stage_once(volume: Volume, filesystem: str) -> None:
    volume.stage(filesystem)
    volume.unstage()
