"""The allowed options of mkfs and mount for each file system (F13).

Left out on purpose are options that name a path or another device, force (`-f`, `-F`), move
(`offset`), label (a host can mount by label at boot), stop the host (`errors=panic`), give up
safety (`nobarrier`, but not `nouuid`) or show only part of a disk (`subvol`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import Filesystem

Rule = Callable[[str], bool]
"""Returns whether a value is allowed."""


def check_mkfs_arguments(filesystem: Filesystem, pairs: Iterable[tuple[str, str]]) -> None:
    """Raise InvalidRequest unless mkfs of this file system may get these options and values.

    Raises:
        InvalidRequest: An option is unknown, has a bad value or is given twice.
    """
    rules = _MKFS[filesystem]
    seen: set[str] = set()
    for option, value in pairs:
        if option in _PARAMETERS[filesystem]:
            name = _PARAMETERS[filesystem][option]
            raise InvalidRequest(f"mkfsOptions {option}: use the parameter {name} instead")
        if option not in rules:
            raise InvalidRequest(
                f"mkfsOptions {option[:40]!r} is not allowed for {filesystem}; allowed are "
                f"{', '.join(rules)}"
            )
        if option in seen:
            raise InvalidRequest(f"mkfsOptions {option} is given twice")
        if not rules[option](value):
            raise InvalidRequest(
                f"mkfsOptions {option} {value[:100]!r} is not allowed for {filesystem}"
            )
        seen.add(option)


def check_mount_flag(filesystem: Filesystem, flag: str, *, read_only: bool) -> None:
    """Raise InvalidRequest unless this file system may be mounted with this flag.

    Raises:
        InvalidRequest: It isn't on the list, or on it for read-only mounts only.
    """
    if flag in _NO_RECOVERY[filesystem]:
        if not read_only:
            raise InvalidRequest(f"mount option {flag} is allowed for read-only mounts only")
        return
    key, equals, value = flag.partition("=")
    rule = {**_MOUNT_ANY, **_MOUNT[filesystem]}.get(key + equals)
    if rule is None or not rule(value):
        raise InvalidRequest(
            f"mount option {flag[:100]!r} is not allowed for {filesystem}; each option is an entry "
            "of its own, and what names a path or a device or weakens safety is refused"
        )


def check_mount_flags_together(flags: tuple[str, ...]) -> None:
    """Raise InvalidRequest unless the kernel accepts these flags in this order for one mount.

    Raises:
        InvalidRequest: It refuses one of them beside another, which would strand the pod.
    """
    journals = [flag for flag in flags if flag.startswith("data=")][-1:]
    if journals == ["data=journal"] and (others := _NOT_WITH_JOURNALED_DATA & set(flags)):
        raise InvalidRequest(
            f"mount option data=journal can't be used together with {min(others)}: the kernel "
            "refuses such a mount; leave one of them out"
        )


def is_integer(low: int, high: int) -> Rule:
    """Allow a decimal number in a range, both ends included."""
    return lambda text: (
        re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) is not None and (low <= int(text) <= high)
    )


def is_power_of_two(low: int, high: int) -> Rule:
    """Allow a decimal power of two in a range, both ends included."""
    in_range = is_integer(low, high)
    return lambda text: in_range(text) and int(text).bit_count() == 1


def _one_of(*words: str) -> Rule:
    return lambda text: text in words


def _matches(pattern: str) -> Rule:
    return lambda text: re.fullmatch(pattern, text, re.ASCII) is not None


def _features(*names: str) -> Rule:
    """Allow features separated by commas; a caret before a feature switches it off."""
    return lambda text: all(each.removeprefix("^") in names for each in text.split(","))


def _settings(rules: Mapping[str, Rule]) -> Rule:
    """Allow `key=value` pairs separated by commas."""

    def allows(text: str) -> bool:
        parts = [each.partition("=") for each in text.split(",")]
        return all(key in rules and rules[key](value) for key, _, value in parts)

    return allows


def _bare(*flags: str) -> dict[str, Rule]:
    return dict.fromkeys(flags, _one_of(""))


_SWITCH = _one_of("0", "1")
_NUMBER = is_integer(0, 2**31)

# Only options that work with every volume size and block size: others would fail on the node.
_EXT_MKFS: Mapping[str, Rule] = {
    "-E": _settings(
        {
            "stride": is_integer(1, 2**20),
            "stripe_width": is_integer(1, 2**20),
            "lazy_itable_init": _SWITCH,
            "lazy_journal_init": _SWITCH,
            "packed_meta_blocks": _SWITCH,
            "root_owner": _matches(r"[0-9]{1,9}:[0-9]{1,9}"),
        }
    ),
    # None of these features needs another one, and none of them prevents growing.
    "-O": _features(
        "casefold",
        "dir_index",
        "dir_nlink",
        "encrypt",
        "extra_isize",
        "huge_file",
        "large_dir",
        "large_file",
        "metadata_csum",
        "project",
        "quota",
        "verity",
    ),
    "-T": _one_of("largefile", "largefile4"),
}

_MKFS: Mapping[Filesystem, Mapping[str, Rule]] = {
    Filesystem.EXT4: _EXT_MKFS,
    Filesystem.EXT3: {**_EXT_MKFS, "-O": _features("dir_index", "large_file")},
    # Options that an mkfs.xfs profile sets (-m, -i sparse) fail here: "option respecified".
    Filesystem.XFS: {"-i": _settings({"maxpct": is_integer(0, 100)})},
    Filesystem.BTRFS: {
        "-d": _one_of("single", "dup"),
        "-m": _one_of("single", "dup"),
        "-O": _features("extref", "no-holes", "skinny-metadata"),
        "--csum": _one_of("crc32c", "xxhash", "sha256", "blake2"),
    },
}

_EXT_PARAMETERS = {
    "-b": "blockSize",
    "-i": "bytesPerInode",
    "-I": "inodeSize",
    "-m": "reservedBlocksPercent",
}
_PARAMETERS: Mapping[Filesystem, Mapping[str, str]] = {
    Filesystem.EXT4: _EXT_PARAMETERS,
    Filesystem.EXT3: _EXT_PARAMETERS,
    Filesystem.XFS: {"-b": "blockSize", "-c": "xfsCompat"},
    Filesystem.BTRFS: {"-s": "blockSize"},
}

# An SELinux label can contain commas; then kubelet puts it in quotes (S24).
_SELINUX = _matches(r'"[\w.:,-]+"|[\w.:-]+')

_MOUNT_ANY: Mapping[str, Rule] = {
    **_bare("defaults", "ro", "rw", "sync", "async", "dirsync", "lazytime", "nolazytime"),
    **_bare("atime", "noatime", "relatime", "norelatime", "strictatime", "nodiratime", "diratime"),
    **_bare("suid", "nosuid", "dev", "nodev", "exec", "noexec", "iversion", "discard", "nodiscard"),
    "context=": _SELINUX,
    "fscontext=": _SELINUX,
    "defcontext=": _SELINUX,
    "rootcontext=": _SELINUX,
}

# The kernel takes powers of two from a block to 1 GiB.
_ALLOCATION_SIZES = (
    *(f"{2**power}{unit}" for unit in "kK" for power in range(2, 21)),
    *(f"{2**power}{unit}" for unit in "mM" for power in range(11)),
    *(str(2**power) for power in range(12, 31)),
)

_EXT_MOUNT: Mapping[str, Rule] = {
    **_bare(
        "user_xattr", "grpid", "nogrpid", "bsdgroups", "sysvgroups", "barrier", "block_validity"
    ),
    **_bare("acl", "usrquota", "grpquota", "quota", "noquota", "init_itable", "noinit_itable"),
    "barrier=": _one_of("1"),
    "commit=": is_integer(1, 300),
    "data=": _one_of("journal", "ordered"),
    "errors=": _one_of("remount-ro"),
    "stripe=": _NUMBER,
}

_MOUNT: Mapping[Filesystem, Mapping[str, Rule]] = {
    Filesystem.EXT3: _EXT_MOUNT,
    Filesystem.EXT4: {
        **_EXT_MOUNT,
        **_bare("prjquota", "delalloc", "nodelalloc", "auto_da_alloc", "journal_checksum"),
        **_bare("dioread_lock", "dioread_nolock"),
        "inode_readahead_blks=": is_power_of_two(1, 2**20),
        "journal_ioprio=": is_integer(0, 7),
        "max_batch_time=": _NUMBER,
        "min_batch_time=": _NUMBER,
    },
    Filesystem.XFS: {
        **_bare("nouuid", "grpid", "nogrpid", "bsdgroups", "sysvgroups", "inode32", "inode64"),
        **_bare("largeio", "nolargeio", "noalign", "swalloc", "wsync", "filestreams"),
        **_bare("quota", "noquota", "uquota", "usrquota", "gquota", "grpquota", "pquota"),
        **_bare("prjquota", "uqnoenforce", "gqnoenforce", "pqnoenforce"),
        "allocsize=": _one_of(*_ALLOCATION_SIZES),
        "logbufs=": is_integer(2, 8),
        "logbsize=": _one_of("32k", "64k", "128k", "256k"),
    },
    Filesystem.BTRFS: {
        **_bare("autodefrag", "noautodefrag", "datacow", "nodatacow", "datasum", "nodatasum"),
        **_bare(
            "acl",
            "noacl",
            "barrier",
            "flushoncommit",
            "noflushoncommit",
            "ssd",
            "nossd",
            "enospc_debug",
        ),
        **_bare("compress", "compress-force", "user_subvol_rm_allowed"),
        "commit=": is_integer(1, 300),
        "compress=": _matches(r"no|lzo|zlib(:[1-9])?|zstd(:[0-9]{1,2})?"),
        "compress-force=": _matches(r"no|lzo|zlib(:[1-9])?|zstd(:[0-9]{1,2})?"),
        "discard=": _one_of("sync", "async"),
        "max_inline=": _NUMBER,
        "metadata_ratio=": _NUMBER,
        "space_cache=": _one_of("v2"),
        "thread_pool=": is_integer(1, 64),
    },
}

# Source: Linux, fs/ext4/super.c. Before 5.6 dioread_nolock belonged here; since then it is ignored.
_NOT_WITH_JOURNALED_DATA = frozenset({"delalloc", "dioread_nolock"})

# Without a replay of its journal a file system must only be read.
_NO_RECOVERY: Mapping[Filesystem, frozenset[str]] = {
    Filesystem.EXT3: frozenset({"norecovery", "noload"}),
    Filesystem.EXT4: frozenset({"norecovery", "noload"}),
    Filesystem.XFS: frozenset({"norecovery"}),
    Filesystem.BTRFS: frozenset({"norecovery", "rescue=nologreplay"}),
}
