"""The mkfs and mount options of a class, checked by the controller and again by the node (F13).

Refused are options that could name a path or another device, force an overwrite, or fail only on
the node, where the pod would hang.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar

from csi_exoblock.allowlists import (
    check_mkfs_arguments,
    check_mount_flag,
    check_mount_flags_together,
    is_integer,
    is_power_of_two,
)
from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import Age, Filesystem

log = logging.getLogger(__name__)

PROVISIONER_ATTRIBUTE = "storage.kubernetes.io/csiprovisioneridentity"
"""Key, in lower case, of the attribute that the provisioner always sets, and a person does not."""

_EXT = frozenset({Filesystem.EXT4, Filesystem.EXT3})
_Choice = TypeVar("_Choice", bound=StrEnum)


class FormatPolicy(StrEnum):
    """Whether a disk without content may be formatted (D1, F9)."""

    NEVER = "never"
    IF_BLANK = "ifBlank"


class FsckPolicy(StrEnum):
    """Whether a file system is checked before it is mounted (D8)."""

    AUTO = "auto"
    NEVER = "never"


class XfsCompat(StrEnum):
    """The oldest kernel that must be able to mount a new xfs: a profile of mkfs.xfs (S17)."""

    LTS_4_19 = "lts_4.19"
    LTS_5_4 = "lts_5.4"
    LTS_5_10 = "lts_5.10"
    LTS_5_15 = "lts_5.15"
    LTS_6_1 = "lts_6.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatOptions:
    """How mkfs makes a file system; `None` leaves the choice to mkfs.

    Attributes:
        mkfs_arguments: Option and value, each option once, such as `("-O", "quota,^dir_index")`.
            mke2fs uses only the last `-O` and the last `-E`, so a profile's own values must be
            joined with these by a comma.
    """

    block_size_bytes: int = 4096
    inode_size_bytes: int | None = None
    bytes_per_inode: int | None = None
    reserved_blocks_percent: int = 0
    xfs_compat: XfsCompat = XfsCompat.LTS_4_19
    discard: bool = False
    mkfs_arguments: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Self:
        """Read the options from a class's parameters or a PV's attributes; ignore other keys.

        Args:
            parameters: Keys in lower case.

        Raises:
            InvalidRequest: A value is malformed for every file system.
        """
        given = _with_alias(parameters)
        return cls(
            block_size_bytes=_block_size(given.get("blocksize", "4096")),
            inode_size_bytes=_integer_or_none(given, "inodeSize", 256, 4096),
            bytes_per_inode=_integer_or_none(given, "bytesPerInode", 4096, 64 * 1024**2),
            reserved_blocks_percent=_integer_or_none(given, "reservedBlocksPercent", 0, 50) or 0,
            xfs_compat=_choice(given, "xfsCompat", XfsCompat.LTS_4_19),
            discard=boolean(given, "discardOnFormat"),
            mkfs_arguments=_pairs(given.get("mkfsoptions", "")),
        )

    def check(self, filesystem: Filesystem) -> None:
        """Raise InvalidRequest unless this file system can be made with these options.

        Raises:
            InvalidRequest: An option isn't allowed for it, or would make its mkfs fail.
        """
        if self.inode_size_bytes is not None:
            self._check_inode_size(filesystem, self.inode_size_bytes)
        if self.bytes_per_inode is not None and filesystem not in _EXT:
            raise InvalidRequest(f"bytesPerInode is for ext3 and ext4, not for {filesystem}")
        if self.reserved_blocks_percent and filesystem not in _EXT:
            raise InvalidRequest(f"reservedBlocksPercent is for ext3 and ext4, not {filesystem}")
        if self.xfs_compat is not XfsCompat.LTS_4_19 and filesystem is not Filesystem.XFS:
            raise InvalidRequest(f"xfsCompat is for xfs, not for {filesystem}")
        check_mkfs_arguments(filesystem, self.mkfs_arguments)

    def check_page_size(self) -> None:
        """Raise InvalidRequest unless a kernel like this host's can mount the file system (N9).

        Raises:
            InvalidRequest: The blocks are larger than a page of memory.
        """
        if self.block_size_bytes > mmap.PAGESIZE:
            raise InvalidRequest(
                f"blockSize {self.block_size_bytes} exceeds a page of memory ({mmap.PAGESIZE} "
                "bytes), so the nodes could not mount the file system; choose a smaller one"
            )

    def _check_inode_size(self, filesystem: Filesystem, inode_size: int) -> None:
        low, high = (512, 2048) if filesystem is Filesystem.XFS else (256, 4096)
        if filesystem is Filesystem.BTRFS:
            raise InvalidRequest("inodeSize is for ext3, ext4 and xfs, not for btrfs")
        if not is_power_of_two(low, high)(str(inode_size)):
            raise InvalidRequest(
                f"inodeSize must be a power of two from {low} to {high} for {filesystem}, "
                f"not {inode_size}"
            )
        # mke2fs: "inode_size * inodes_count too big"
        if self.bytes_per_inode is not None and self.bytes_per_inode <= inode_size:
            raise InvalidRequest(
                f"bytesPerInode ({self.bytes_per_inode}) must exceed inodeSize ({inode_size})"
            )

    def to_mapping(self) -> dict[str, str]:
        """Return the options that differ from the defaults, as `parse` reads them."""
        default = type(self)()
        chosen = {
            "blockSize": (self.block_size_bytes, default.block_size_bytes),
            "inodeSize": (self.inode_size_bytes, default.inode_size_bytes),
            "bytesPerInode": (self.bytes_per_inode, default.bytes_per_inode),
            "reservedBlocksPercent": (
                self.reserved_blocks_percent,
                default.reserved_blocks_percent,
            ),
            "xfsCompat": (self.xfs_compat, default.xfs_compat),
            "discardOnFormat": (str(self.discard).lower(), "false"),
            "mkfsOptions": (" ".join(" ".join(pair) for pair in self.mkfs_arguments), ""),
        }
        return {key: str(value) for key, (value, usual) in chosen.items() if value != usual}


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeContext:
    """The attributes of a PV, which the node needs beside the volume's id.

    Attributes:
        partition: Number of the partition to mount, `None` for the whole disk; a volume with a
            partition is never formatted nor grown.
        age: How old the volume was when it was attached, from the publish context, `None` if that
            doesn't tell; only N19 needs it.
    """

    format: FormatPolicy
    partition: int | None = None
    fsck: FsckPolicy = FsckPolicy.AUTO
    options: FormatOptions = FormatOptions()
    age: Age | None = None

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Self:
        """Read a PV's attributes; keys are case-insensitive, unknown keys are ignored.

        A PV without `format` is formatted if blank if the provisioner made it, and never formatted
        if a person wrote it (F9).

        Raises:
            InvalidRequest: A value is malformed or contradicts another.
        """
        given = {key.lower(): value for key, value in attributes.items()}
        refuse_encryption(given)
        partition = _integer_or_none(given, "partition", 1, 128)
        dynamic = PROVISIONER_ATTRIBUTE in given and partition is None
        usual = FormatPolicy.IF_BLANK if dynamic else FormatPolicy.NEVER
        policy = _choice(given, "format", usual)
        if partition is not None and policy is not FormatPolicy.NEVER:
            raise InvalidRequest("a partition is never formatted: remove format or partition")
        return cls(
            format=policy,
            partition=partition,
            fsck=_choice(given, "fsck", FsckPolicy.AUTO),
            options=FormatOptions.parse(given),
        )

    def to_mapping(self) -> dict[str, str]:
        """Return the attributes from which `parse` reads this again."""
        attributes = {"format": str(self.format), **self.options.to_mapping()}
        if self.partition is not None:
            attributes["partition"] = str(self.partition)
        if self.fsck is not FsckPolicy.AUTO:
            attributes["fsck"] = str(self.fsck)
        return attributes


def without_host_flags(flags: tuple[str, ...], filesystem: Filesystem) -> tuple[str, ...]:
    """Return the flags without those that this driver doesn't pass on to the kernel (F8).

    Classes and PersistentVolumes of the vendor's driver may have them. `nofail` and `_netdev` are
    for a host that boots. What ext does about errors is the driver's own decision (D7). Each flag
    that is left out is logged.
    """
    kept = []
    for flag in flags:
        is_about_errors = filesystem in _EXT and flag in ("errors=continue", "errors=panic")
        if flag in ("nofail", "_netdev") or is_about_errors:
            instead = {"instead": "errors=remount-ro"} if is_about_errors else {}
            log.info("mount option is left out", extra={"option": flag, **instead})
        else:
            kept.append(flag)
    return tuple(kept)


def mount_flags(
    flags: tuple[str, ...], filesystem: Filesystem, *, read_only: bool
) -> tuple[str, ...]:
    """Return the flags in their order, each once and never split (S24, S28).

    Of equal flags the last one stays, because of two contradicting flags the last one counts. `rw`
    is dropped; `ro` stays, at the end, only if the file system is mounted read-only.

    Args:
        read_only: Whether the file system is mounted read-only even if no flag says so.

    Raises:
        InvalidRequest: A flag isn't allowed for this file system, or not beside the others.
    """
    last = [flag for flag in flags if flag in ("ro", "rw")][-1:]
    read_only = read_only or last == ["ro"]
    for flag in flags:
        check_mount_flag(filesystem, flag, read_only=read_only)
    others = (flag for flag in reversed(flags) if flag not in ("ro", "rw"))
    merged = tuple(reversed(dict.fromkeys(others)))
    check_mount_flags_together(merged)
    return (*merged, "ro") if read_only else merged


def boolean(parameters: Mapping[str, str], name: str) -> bool:
    """Read `true` or `false`, in any case; absent means false.

    Raises:
        InvalidRequest: It is anything else.
    """
    text = parameters.get(name.lower(), "false")
    if text.lower() not in ("true", "false"):
        raise InvalidRequest(f"{name} must be true or false, not {text[:40]!r}")
    return text.lower() == "true"


def refuse_encryption(parameters: Mapping[str, str]) -> None:
    """Raise InvalidRequest unless no encryption is requested.

    Otherwise a plain volume would pass for an encrypted one.
    """
    if boolean(parameters, "encrypted"):
        raise InvalidRequest("encrypted: not supported by this version; leave it out or say false")


def _with_alias(parameters: Mapping[str, str]) -> Mapping[str, str]:
    if "fsformatoptions" not in parameters:
        return parameters
    if "mkfsoptions" in parameters:
        raise InvalidRequest("fsFormatOptions is an alias of mkfsOptions: give only one of them")
    return {**parameters, "mkfsoptions": parameters["fsformatoptions"]}


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    words = text.split()
    if len(words) % 2:
        raise InvalidRequest(
            f"mkfsOptions must be pairs of option and value, such as '-O quota', not {text[:100]!r}"
        )
    return tuple(zip(words[::2], words[1::2], strict=True))


def _block_size(text: str) -> int:
    if not is_power_of_two(4096, 65536)(text):
        raise InvalidRequest(
            "blockSize must be a power of two from 4096 (the disk's sector, N9) to 65536, "
            f"not {text[:40]!r}"
        )
    return int(text)


def _integer_or_none(parameters: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = parameters.get(name.lower())
    if text is None:
        return None
    if not is_integer(low, high)(text):
        raise InvalidRequest(f"{name} must be a number from {low} to {high}, not {text[:40]!r}")
    return int(text)


def _choice(parameters: Mapping[str, str], name: str, usual: _Choice) -> _Choice:
    text = parameters.get(name.lower(), str(usual))
    known: Callable[[str], _Choice] = type(usual)
    try:
        return known(text)
    except ValueError as error:
        words = ", ".join(type(usual))
        raise InvalidRequest(f"{name} must be one of {words}, not {text[:40]!r}") from error
