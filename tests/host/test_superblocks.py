"""What file systems say of themselves, on superblocks saved from mkfs of Debian 12 (D1, D8, D10).

e2fsprogs 1.47.0, xfsprogs 6.1.0, btrfs-progs 6.2, on sparse files; `xfs whose mkfs was killed` is
from a mkfs.xfs that got SIGKILL at its tenth write.
"""

from __future__ import annotations

import base64
import json
import pathlib
import zlib

import pytest

from csi_exoblock.host.signatures import HEAD_BYTES, Edges
from csi_exoblock.host.superblocks import Superblock, btrfs_id, superblock
from csi_exoblock.model import Filesystem

pytestmark = pytest.mark.fast

SAVED = json.loads((pathlib.Path(__file__).parents[1] / "data" / "superblocks.json").read_text())
GIB, TIB = 1024**3, 1024**4

SAYS = {
    "ext4 of 1 GiB": Superblock(size_bytes=GIB, unit_bytes=4096),
    "ext3 of 1 GiB": Superblock(size_bytes=GIB, unit_bytes=4096),
    "ext4 of 17 TiB": Superblock(size_bytes=17 * TIB, unit_bytes=4096),  # beyond 32 bits of blocks
    "xfs of 1 GiB": Superblock(size_bytes=GIB, unit_bytes=4096),
    "xfs of 1 GiB for sectors of 512 bytes": Superblock(size_bytes=GIB, unit_bytes=512),
    "xfs whose mkfs was killed": Superblock(size_bytes=GIB, unit_bytes=4096, unfinished=True),
    "btrfs of 1 GiB": Superblock(size_bytes=GIB, unit_bytes=4096),
}


def head_of(name: str) -> bytes:
    """Return the first bytes of the disk, of which nothing but the superblock was saved."""
    saved = zlib.decompress(base64.b64decode(SAVED[name]["deflated"]))
    return (bytes(SAVED[name]["offset"]) + saved).ljust(HEAD_BYTES, b"\0")


@pytest.mark.parametrize("name", SAVED)
def test_a_superblock_says_how_large_its_file_system_is(name: str) -> None:
    filesystem = Filesystem(SAVED[name]["filesystem"])

    assert superblock(filesystem, head_of(name)) == SAYS[name]


@pytest.mark.parametrize("name", SAVED)
def test_no_superblock_passes_for_one_of_another_file_system(name: str) -> None:
    own = SAVED[name]["filesystem"]
    kin = {"ext3", "ext4"} if own.startswith("ext") else {own}

    for other in set(Filesystem) - kin:
        assert superblock(other, head_of(name)) is None


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_disk_is_recognised_and_not_zeroed(name: str) -> None:
    edges = Edges(head=head_of(name), tail=bytes(GIB // 1024), size_bytes=GIB, sector_bytes=4096)

    assert not edges.zeroed
    assert edges.signatures() == (SAVED[name]["filesystem"].rstrip("34"),)


def test_only_a_btrfs_has_an_id_of_btrfs() -> None:
    assert [name for name in SAVED if btrfs_id(head_of(name))] == ["btrfs of 1 GiB"]
