"""Signatures of known formats in the first and last bytes of a disk, with their places.

This is the second prober beside blkid: it decides nothing alone, but a disk with a signature is
never taken for blank (D1). Offsets are from the formats' own definitions.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

HEAD_BYTES = 2 * 1024**2
TAIL_BYTES = 1024**2

Buffer = bytes | mmap.mmap

# Small enough that the compared copies stay in the processor's cache, and that noise with anything
# else among it compresses.
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A signature that a prober recognises.

    Attributes:
        offset: Where it begins on the disk, in bytes.
    """

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The first 2 MiB and the last 1 MiB of a disk.

    Attributes:
        size_bytes: The size of the whole disk.
        sector_bytes: Its logical sector size.
    """

    head: Buffer
    tail: Buffer
    size_bytes: int
    sector_bytes: int

    @property
    def zeroed(self) -> bool:
        """Whether both are nothing but zeros."""
        return is_zero(self.head) and is_zero(self.tail)

    @property
    def is_noise(self) -> bool:
        """Whether no piece of them compresses, as a superblock, a bitmap or a table would."""
        return all(
            len(zlib.compress(piece, 1)) >= len(piece)
            for data in (self.head, self.tail)
            for piece in _pieces(data)
        )

    @property
    def has_partitions(self) -> bool:
        """Whether an MBR has a table with partitions, and is more than a boot sector."""
        entries = [self.head[begin : begin + 16] for begin in range(446, 510, 16)]
        return all(entry[0] in (0x00, 0x80) for entry in entries) and any(
            entry[4] for entry in entries
        )

    def signatures(self) -> tuple[str, ...]:
        """Return the names of all signatures."""
        return tuple(dict.fromkeys(trace.name for trace in self.traces()))

    def traces(self) -> tuple[Trace, ...]:
        """Return all signatures with their places on the disk."""
        return tuple(
            Trace(name=name, offset=offset)
            for name, places in _SIGNATURES.items()
            for offset in places(self)
        )


def is_zero(data: Buffer) -> bool:
    """Return whether there is nothing but zeros."""
    return all(piece == bytes(len(piece)) for piece in _pieces(data))


def _pieces(data: Buffer) -> Iterator[bytes]:
    return (data[start : start + _PIECE_BYTES] for start in range(0, len(data), _PIECE_BYTES))


# Finds a signature; returns the offsets on the disk at which it begins.
_Places = Callable[[Edges], Iterable[int]]


def _has(data: Buffer, offset: int, magic: bytes) -> bool:
    return data[offset : offset + len(magic)] == magic


def _in_tail(edges: Edges, offset: int) -> int:
    return edges.size_bytes - len(edges.tail) + offset


def _at(offset: int, *magics: bytes) -> _Places:
    return lambda edges: [offset] if any(_has(edges.head, offset, each) for each in magics) else []


def _lvm(edges: Edges) -> Iterable[int]:
    return (place for place in range(0, 8 * 512, 512) if _has(edges.head, place, b"LABELONE"))


def _raid(edges: Edges) -> Iterable[int]:
    # Versions 1.1 and 1.2 stand in front; 1.0 and 0.90 somewhere in the last 128 KiB, aligned.
    magic = struct.pack("<I", 0xA92B4EFC)
    yield from (offset for offset in (0, 4096) if _has(edges.head, offset, magic))
    for offset in range(max(0, len(edges.tail) - 128 * 1024), len(edges.tail), 4096):
        if _has(edges.tail, offset, magic):
            yield _in_tail(edges, offset)


def _swap(edges: Edges) -> Iterable[int]:
    for page in (4096, 8192, 16384, 32768, 65536):
        if edges.head[page - 10 : page] in (b"SWAPSPACE2", b"SWAP-SPACE"):
            yield page - 10


def _zfs(edges: Edges) -> Iterable[int]:
    # Two labels of 256 KiB at either end, each with uberblocks in its second half, each of which
    # begins with the magic number in either byte order, at a multiple of 1 KiB.
    magics = {0x00BAB10C, 0x0CB1BA00_00000000}
    label, step = 512 * 1024 // 8, 1024 // 8
    head, tail = memoryview(edges.head).cast("Q"), memoryview(edges.tail).cast("Q")
    if not magics.isdisjoint(head[:label:step].tolist()):
        yield from (
            1024 * number
            for number, word in enumerate(head[:label:step].tolist())
            if word in magics
        )
    last = tail[-label::step].tolist()
    if not magics.isdisjoint(last):
        begin = max(0, len(edges.tail) - 8 * label)
        yield from (
            _in_tail(edges, begin + 1024 * number)
            for number, word in enumerate(last)
            if word in magics
        )


def _gpt(sector_bytes: int) -> _Places:
    # In the second sector, with a copy in the last; their size is the choice of the table's maker.
    def places(edges: Edges) -> Iterable[int]:
        if _has(edges.head, sector_bytes, b"EFI PART"):
            yield sector_bytes
        if _has(edges.tail, len(edges.tail) - sector_bytes, b"EFI PART"):
            yield edges.size_bytes - sector_bytes

    return places


MBR = "MBR"

_SIGNATURES: dict[str, _Places] = {
    "ext": _at(1024 + 0x38, b"\x53\xef"),
    "xfs": _at(0, b"XFSB"),
    "btrfs": _at(0x10040, b"_BHRfS_M"),
    "LUKS": _at(0, b"LUKS\xba\xbe", b"SKUL\xba\xbe"),
    "LVM": _lvm,
    "mdraid": _raid,
    "swap": _swap,
    "ZFS": _zfs,
    "GPT for 512-byte sectors": _gpt(512),
    "GPT for 4096-byte sectors": _gpt(4096),
    MBR: _at(510, b"\x55\xaa"),
}
