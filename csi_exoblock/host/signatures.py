"""Recognise what the first and the last bytes of a disk say about its content.

This is the second prober beside blkid: it decides nothing alone, but a disk that it recognises is
never taken for blank (D1). Offsets are from the formats' own definitions.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 2 * 1024**2
TAIL_BYTES = 1024**2

Buffer = bytes | mmap.mmap

# Small enough that the copies that are compared stay in the processor's cache.
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The first 2 MiB and the last 1 MiB of a disk.

    Attributes:
        sector_bytes: Logical sector size of the disk that they were read from.
    """

    head: Buffer
    tail: Buffer
    sector_bytes: int

    @property
    def zeroed(self) -> bool:
        """Whether there is nothing but zeros."""
        return _is_zero(self.head) and _is_zero(self.tail)

    def signatures(self) -> tuple[str, ...]:
        """Name everything that is recognised."""
        return tuple(name for name, recognises in _SIGNATURES.items() if recognises(self))


def _is_zero(data: Buffer) -> bool:
    pieces = (data[start : start + _PIECE_BYTES] for start in range(0, len(data), _PIECE_BYTES))
    return all(piece == bytes(len(piece)) for piece in pieces)


def _has(data: Buffer, offset: int, magic: bytes) -> bool:
    return data[offset : offset + len(magic)] == magic


def _at(offset: int, *magics: bytes) -> Callable[[Edges], bool]:
    return lambda edges: any(_has(edges.head, offset, magic) for magic in magics)


def _is_lvm(edges: Edges) -> bool:
    return any(_has(edges.head, sector * 512, b"LABELONE") for sector in range(8))


def _is_raid(edges: Edges) -> bool:
    # Versions 1.1 and 1.2 stand in front; 1.0 and 0.90 somewhere in the last 128 KiB, aligned.
    magic = struct.pack("<I", 0xA92B4EFC)
    ends = range(max(0, len(edges.tail) - 128 * 1024), len(edges.tail), 4096)
    return any(_has(edges.head, offset, magic) for offset in (0, 4096)) or any(
        _has(edges.tail, offset, magic) for offset in ends
    )


def _is_swap(edges: Edges) -> bool:
    return any(
        edges.head[page - 10 : page] in (b"SWAPSPACE2", b"SWAP-SPACE")
        for page in (4096, 8192, 16384, 32768, 65536)
    )


def _is_zfs(edges: Edges) -> bool:
    # Two labels of 256 KiB at either end, each with uberblocks in its second half, each of which
    # begins with the magic number in either byte order, at a multiple of 1 KiB.
    magics = {0x00BAB10C, 0x0CB1BA00_00000000}
    label, step = 512 * 1024 // 8, 1024 // 8
    words = memoryview(edges.head).cast("Q"), memoryview(edges.tail).cast("Q")
    seen = (*words[0][:label:step].tolist(), *words[1][-label::step].tolist())
    return not magics.isdisjoint(seen)


def _is_gpt(sector_bytes: int) -> Callable[[Edges], bool]:
    # In the second and, as a copy, in the last sector, as large as the table's maker took them.
    return lambda edges: (
        _has(edges.head, sector_bytes, b"EFI PART")
        or _has(edges.tail, len(edges.tail) - sector_bytes, b"EFI PART")
    )


_SIGNATURES = {
    "ext": _at(1024 + 0x38, b"\x53\xef"),
    "xfs": _at(0, b"XFSB"),
    "btrfs": _at(0x10040, b"_BHRfS_M"),
    "LUKS": _at(0, b"LUKS\xba\xbe", b"SKUL\xba\xbe"),
    "LVM": _is_lvm,
    "mdraid": _is_raid,
    "swap": _is_swap,
    "ZFS": _is_zfs,
    "GPT for 512-byte sectors": _is_gpt(512),
    "GPT for 4096-byte sectors": _is_gpt(4096),
    "MBR": _at(510, b"\x55\xaa"),
}
