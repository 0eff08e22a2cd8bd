"""Read one small file from a CD-ROM without mounting it, as its file system isn't trusted (F17).

Source: ECMA-119 for the volume and its directories, Joliet and the Rock Ridge Interchange Protocol
for names as long and as lower-case as `meta-data`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from csi_exoblock.errors import HostError

_SECTOR_BYTES = 2048
_FIRST_DESCRIPTOR = 16
_MOST_DESCRIPTORS = 16
# The largest file or directory to read: far more than metadata needs, and little memory.
_MOST_BYTES = 64 * 1024

_PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 1, 2, 255
_STANDARD = b"CD001"
_LABEL = slice(40, 72)
_ESCAPES = slice(88, 120)
_ROOT = slice(156, 190)
_JOLIET = (b"%/@", b"%/C", b"%/E")

# A directory's record: its length, the beginning and length of its extent, flags, the length of
# the name; then the name, and behind it the fields of Rock Ridge.
_RECORD = struct.Struct("<BxI4xI4x7xB6xB")
_IS_NO_FILE = 0x82  # a directory, or a file of more than one extent


@dataclass(frozen=True, slots=True)
class _Record:
    """A file or folder and its place on the disc."""

    sector: int
    size_bytes: int
    flags: int
    names: frozenset[str]


def read_file(disc: int, label: str, name: str) -> bytes:
    """Return the content of a file in the root directory of a disc with a label.

    Args:
        disc: The open device.
        label: The label that the disc must have, in lower case; the disc's own can be in any case.

    Raises:
        HostError: The disc has another format or label, or no such file, or the file isn't small.
        OSError: The disc can't be read.
    """
    descriptors = list(_descriptors(disc))
    primary = next((each for each in descriptors if each[0] == _PRIMARY), None)
    if primary is None:
        raise HostError("it holds no ISO 9660")
    found = primary[_LABEL].decode(errors="replace").strip(" \0")
    if found.lower() != label:
        raise HostError(f"its label is {found!r}, not {label}")
    for descriptor in descriptors:
        root = _record(descriptor[_ROOT], is_joliet=False)
        is_joliet = descriptor[0] == _SUPPLEMENTARY
        for record in _records(_read(disc, root), is_joliet=is_joliet) if root else ():
            if name in record.names:
                if record.flags & _IS_NO_FILE:
                    raise HostError(f"its {name} is no plain file")
                return _read(disc, record)
    raise HostError(f"it has no {name}")


def _descriptors(disc: int) -> Iterator[bytes]:
    """Yield the volume descriptors whose directories have readable names."""
    for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + _MOST_DESCRIPTORS):
        sector = os.pread(disc, _SECTOR_BYTES, number * _SECTOR_BYTES)
        if len(sector) < _SECTOR_BYTES or sector[1:6] != _STANDARD or sector[0] == _TERMINATOR:
            return
        is_joliet = any(escape in sector[_ESCAPES] for escape in _JOLIET)
        if sector[0] == _PRIMARY or (sector[0] == _SUPPLEMENTARY and is_joliet):
            yield sector


def _read(disc: int, record: _Record) -> bytes:
    if record.size_bytes > _MOST_BYTES:
        raise HostError(f"it has {record.size_bytes} bytes; at most {_MOST_BYTES} are read")
    return os.pread(disc, record.size_bytes, record.sector * _SECTOR_BYTES)


def _records(directory: bytes, *, is_joliet: bool) -> Iterator[_Record]:
    for begin in range(0, len(directory), _SECTOR_BYTES):
        rest = directory[begin : begin + _SECTOR_BYTES]  # no record spans two sectors
        while rest and rest[0]:
            if record := _record(rest[: rest[0]], is_joliet=is_joliet):
                yield record
            rest = rest[rest[0] :]


def _record(text: bytes, *, is_joliet: bool) -> _Record | None:
    if len(text) < _RECORD.size:
        return None
    _, sector, size_bytes, flags, name_bytes = _RECORD.unpack_from(text)
    name = text[_RECORD.size : _RECORD.size + name_bytes]
    if is_joliet:
        names = {name.decode("utf-16-be", errors="replace").partition(";")[0]}
    else:
        names = set(_rock_ridge_names(text[_RECORD.size + (name_bytes | 1) :]))
    return _Record(sector, size_bytes, flags, frozenset(names))


def _rock_ridge_names(fields: bytes) -> Iterator[str]:
    # Each field: two letters, its own length, a version; a name has a byte of flags before it.
    while len(fields) > 4 and (length := fields[2]) >= 4:
        if fields[:2] == b"NM":
            yield fields[5:length].decode(errors="replace")
        fields = fields[length:]
