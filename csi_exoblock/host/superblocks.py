"""Superblocks: the size, the state and the extent that a file system records for itself.

Offsets are from the definitions in Linux.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from uuid import UUID

from csi_exoblock.model import Filesystem

Buffer = bytes | mmap.mmap

# struct ext4_super_block, at 1024, and how many of its bytes its checksum covers.
_EXT_BEGIN = 1024
_EXT_CHECKSUM = 0x3FC
_EXT_MAGIC_AT = 0x38

_EXT_MAGIC = 0xEF53
# Bits of its feature words.
_EXT_NEEDS_RECOVERY = 0x4
_EXT_64BIT = 0x80
_EXT_METADATA_CHECKSUMS = 0x400
_EXT_ORPHANS_PRESENT = 0x10000
_EXT_HAS_JOURNAL = 0x4
_EXT_JOURNAL_DEVICE = 0x8
# The features of ext3. Incompatible: file types, recovery, meta block groups. Read-only: sparse
# superblocks, large files, trees.
_EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x10
_EXT3_READ_ONLY = 0x1 | 0x2 | 0x4
# The only state in which everything was written and no error was seen.
_EXT_VALID = 1
_EXT_HAS_ERRORS = 2

# struct xfs_dsb, at 0.
_XFS_WITH_CHECKSUMS = 5
_XFS_CHECKSUM = 224
# The headers of an allocation group, a sector each: superblock, free space, inodes, free list.
_XFS_HEADERS = 4

# struct btrfs_super_block.
_BTRFS_BEGIN = 0x10000
_BTRFS_BYTES = 4096
_BTRFS_MAGIC_AT = 0x40
_BTRFS_DEVICE_AT = 0xC9  # its device: number, then size
_BTRFS_SEEDING = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """The facts in a superblock that the driver uses.

    Attributes:
        size_bytes: The size of the file system.
        unit_bytes: The smallest amount that it reads and writes.
        unfinished: Whether its mkfs did not come to its end.
    """

    size_bytes: int
    unit_bytes: int
    unfinished: bool = False


def superblock(filesystem: Filesystem, head: Buffer) -> Superblock | None:
    """Parse the superblock of a file system of this type, `None` if there is none."""
    return {
        Filesystem.EXT4: _ext,
        Filesystem.EXT3: _ext,
        Filesystem.XFS: _xfs,
        Filesystem.BTRFS: _btrfs,
    }[filesystem](head)


def btrfs_id(head: bytes) -> UUID | None:
    """Parse the id by which the kernel knows a btrfs; `None` if there is none."""
    return UUID(bytes=head[0x10020:0x10030]) if _btrfs(head) else None


def btrfs_device(head: bytes) -> int:
    """Return the number that a btrfs gives its only device; 1 unless another one was removed."""
    return _number("<Q", head, _BTRFS_BEGIN + _BTRFS_DEVICE_AT)


def _ext(head: Buffer) -> Superblock | None:
    # Source: Linux, fs/ext4/ext4.h, struct ext4_super_block, at 1024.
    if _number("<H", head, 1024 + 0x38) != 0xEF53:
        return None
    block_bytes = 1024 << min(_number("<I", head, 1024 + 0x18), 6)
    has_64bit = _number("<I", head, 1024 + 0x60) & 0x80
    high = _number("<I", head, 1024 + 0x150) if has_64bit else 0
    blocks = high << 32 | _number("<I", head, 1024 + 0x04)
    return Superblock(size_bytes=blocks * block_bytes, unit_bytes=block_bytes)


def _xfs(head: Buffer) -> Superblock | None:
    # Source: Linux, fs/xfs/libxfs/xfs_format.h, struct xfs_dsb.
    if head[:4] != b"XFSB":
        return None
    block_bytes, blocks = _number(">I", head, 4), _number(">Q", head, 8)
    return Superblock(
        size_bytes=blocks * block_bytes,
        unit_bytes=_number(">H", head, 102),
        unfinished=head[126] != 0,
    )


def _btrfs(head: Buffer) -> Superblock | None:
    # Source: Linux, fs/btrfs, struct btrfs_super_block, at 64 KiB; the size of its one device.
    if head[0x10040:0x10048] != b"_BHRfS_M":
        return None
    size_bytes = _number("<Q", head, _BTRFS_BEGIN + _BTRFS_DEVICE_AT + 8)
    return Superblock(size_bytes=size_bytes, unit_bytes=_number("<I", head, 0x10000 + 0x90))


def _number(form: str, data: Buffer, offset: int) -> int:
    (value,) = struct.unpack_from(form, data, offset)
    return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The part of a disk that a file system owns: everything in it is its data (D15).

    Attributes:
        magic_bytes: The offset of the magic number by which probers know it.
        begin_bytes: The lowest offset at which the content of files can begin. A foreign signature
            below it has overwritten a part of the file system's own tables.
        end_bytes: The offset of its end.
    """

    magic_bytes: int
    begin_bytes: int
    end_bytes: int

    def __contains__(self, offset: int) -> bool:
        return offset == self.magic_bytes or self.begin_bytes <= offset < self.end_bytes


def extent_of(filesystem: Filesystem, head: Buffer, device_bytes: int) -> Extent | None:
    """Return the extent of a file system of exactly this type, `None` without a whole superblock.

    A superblock is whole if its checksum, where it has one, is right, and if the size that it
    records fits on the device.
    """
    found = superblock(filesystem, head)
    if found is None or found.unfinished or not 0 < found.size_bytes <= device_bytes:
        return None
    match filesystem:
        case Filesystem.EXT4 | Filesystem.EXT3:
            # The superblock's own block, and the first one of the group descriptors.
            begin = max(2 * found.unit_bytes, _EXT_BEGIN + 2 * 1024)
            magic = _EXT_BEGIN + _EXT_MAGIC_AT
            whole = _ext_type(head) is filesystem and _has_ext_checksum(head)
        case Filesystem.XFS:
            begin, magic = _XFS_HEADERS * found.unit_bytes, 0
            whole = _has_xfs_checksum(head)
        case Filesystem.BTRFS:
            begin, magic = _BTRFS_BEGIN + _BTRFS_BYTES, _BTRFS_BEGIN + _BTRFS_MAGIC_AT
            whole = _has_btrfs_checksum(head)
    if not whole:
        return None
    return Extent(magic_bytes=magic, begin_bytes=begin, end_bytes=found.size_bytes)


def obstacle(filesystem: Filesystem, head: Buffer) -> tuple[str, str] | None:
    """Return why a file system can't be a volume's, and the way out; `None` if it can be.

    One that spans devices would have the kernel, or e2fsck, write to other volumes' disks (D2).
    """
    match filesystem:
        case Filesystem.EXT4 | Filesystem.EXT3:
            return _ext_obstacle(head)
        case Filesystem.BTRFS:
            return _btrfs_obstacle(head)
        case Filesystem.XFS:  # the kernel finds an external log only by a mount option
            return None


def _ext_obstacle(head: Buffer) -> tuple[str, str] | None:
    has_journal = _number("<I", head, _EXT_BEGIN + 0x5C) & _EXT_HAS_JOURNAL
    if has_journal and _number("<I", head, _EXT_BEGIN + 0xE0) == 0:  # the journal's inode
        return (
            "an ext file system with its journal on another disk, and a volume must be a whole "
            "file system",
            "where both disks are, run e2fsck, then `tune2fs -O ^has_journal` and `tune2fs -j`",
        )
    return None


def _btrfs_obstacle(head: Buffer) -> tuple[str, str] | None:
    devices = _number("<Q", head, _BTRFS_BEGIN + 0x88)
    if devices > 1:
        what = f"one of the {devices} devices of a btrfs, and a volume must be a whole file system"
        return what, "remove all devices but one from it, with `btrfs device remove`"
    if _number("<Q", head, _BTRFS_BEGIN + 0x38) & _BTRFS_SEEDING:
        return "a btrfs that is a seed for others", "end that with `btrfstune -S 0`"
    return None


def needs_check(head: Buffer, *, now: float) -> bool:
    """Return whether an ext file system was not left in order, or records that a check is due.

    Args:
        head: At least the first 2 KiB of its disk.
        now: Seconds since 1970.
    """
    if _ext(head) is None:
        return True
    mounts, most_mounts, state = struct.unpack_from("<HhxxH", head, _EXT_BEGIN + 0x34)
    checked, interval = struct.unpack_from("<II", head, _EXT_BEGIN + 0x40)
    incompatible, read_only = struct.unpack_from("<II", head, _EXT_BEGIN + 0x60)
    orphan = _number("<I", head, _EXT_BEGIN + 0xE8)
    return (
        state != _EXT_VALID
        or incompatible & _EXT_NEEDS_RECOVERY != 0
        or read_only & _EXT_ORPHANS_PRESENT != 0
        or orphan != 0
        or 0 < most_mounts <= mounts
        or 0 < interval < now - checked
        or not _has_ext_checksum(head)
    )


def has_recorded_errors(head: Buffer) -> bool:
    """Return whether the kernel has found errors in an ext file system; arguments as above."""
    (state,) = struct.unpack_from("<H", head, _EXT_BEGIN + 0x3A)
    return _ext(head) is not None and state & _EXT_HAS_ERRORS != 0


def _has_ext_checksum(head: Buffer) -> bool:
    """Return whether an ext superblock has the right checksum, or needs none."""
    if not _number("<I", head, _EXT_BEGIN + 0x64) & _EXT_METADATA_CHECKSUMS:
        return True
    covered = head[_EXT_BEGIN : _EXT_BEGIN + _EXT_CHECKSUM]
    return crc32c(covered) == _number("<I", head, _EXT_BEGIN + _EXT_CHECKSUM)


def _ext_type(head: Buffer) -> Filesystem | None:
    """Return the type by blkid's rules, `None` for ext2 and for an external journal."""
    compatible, incompatible, read_only = struct.unpack_from("<III", head, _EXT_BEGIN + 0x5C)
    if incompatible & _EXT_JOURNAL_DEVICE:
        return None
    if incompatible & ~_EXT3_INCOMPATIBLE or read_only & ~_EXT3_READ_ONLY:
        return Filesystem.EXT4
    return Filesystem.EXT3 if compatible & _EXT_HAS_JOURNAL else None


def _has_xfs_checksum(head: Buffer) -> bool:
    if _number(">H", head, 100) & 0xF < _XFS_WITH_CHECKSUMS:
        return True
    sector = bytearray(head[: _number(">H", head, 102)])
    sector[_XFS_CHECKSUM : _XFS_CHECKSUM + 4] = bytes(4)
    return crc32c(sector) ^ 0xFFFFFFFF == _number("<I", head, _XFS_CHECKSUM)


def _has_btrfs_checksum(head: Buffer) -> bool:
    if _number("<H", head, _BTRFS_BEGIN + 0xC4) != 0:
        return True  # another algorithm than crc32c, which isn't verified
    covered = head[_BTRFS_BEGIN + 0x20 : _BTRFS_BEGIN + 0x1000]
    return crc32c(covered) ^ 0xFFFFFFFF == _number("<I", head, _BTRFS_BEGIN)


def crc32c(data: bytes | bytearray, crc: int = 0xFFFFFFFF) -> int:
    """Return the CRC-32C of data, without the final inversion."""
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc


def _crc32c_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC32C = tuple(map(_crc32c_of, range(256)))
