"""The profiles of new file systems: fixed options of mkfs, for old kernels too (S17, S25, N9).

Each option that a tool's default or the host's configuration could change is given explicitly.
"""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.model import Filesystem
from csi_exoblock.options import FormatOptions, XfsCompat

# The profiles of these names in xfsprogs, spelt out because mkfs.xfs 6.1 of Debian 12 can't read
# its own files: "invalid config file option: [metadata]: nrext64=0".
_XFS_OLD = "bigtime=0,inobtcount=0,reflink={reflink}"
_XFS_NEW = "bigtime=1,inobtcount=1,reflink=1"
_XFS_METADATA = {
    XfsCompat.LTS_4_19: _XFS_OLD.format(reflink=0),
    XfsCompat.LTS_5_4: _XFS_OLD.format(reflink=1),
    XfsCompat.LTS_5_10: _XFS_OLD.format(reflink=1),
    XfsCompat.LTS_5_15: _XFS_NEW,
    XfsCompat.LTS_6_1: _XFS_NEW,
}

# The sector size of the cloud's disks (N9). A file system can have larger ones than its disk, but
# not smaller ones.
_SECTOR_BYTES = 4096

_EXT3_FEATURES = "has_journal,ext_attr,resize_inode,dir_index,filetype,sparse_super,large_file"
# The default of mke2fs since 2016: any kernel since Linux 3.18 can mount it.
_EXT4_FEATURES = (
    f"{_EXT3_FEATURES},extent,64bit,flex_bg,huge_file,dir_nlink,extra_isize,metadata_csum"
)
_BTRFS_FEATURES = "extref,skinny-metadata,no-holes"


def mkfs_command(filesystem: Filesystem, device: Path, options: FormatOptions) -> tuple[str, ...]:
    """Return the mkfs command for a file system; it never has an option that forces (D1)."""
    profile = {
        Filesystem.EXT4: _ext4,
        Filesystem.EXT3: _ext3,
        Filesystem.XFS: _xfs,
        Filesystem.BTRFS: _btrfs,
    }[filesystem]
    return (*profile(options), str(device))


def _ext4(options: FormatOptions) -> tuple[str, ...]:
    return _ext("mkfs.ext4", _EXT4_FEATURES, options)


def _ext3(options: FormatOptions) -> tuple[str, ...]:
    return _ext("mkfs.ext3", _EXT3_FEATURES, options)


def _ext(command: str, features: str, options: FormatOptions) -> tuple[str, ...]:
    asked = dict(options.mkfs_arguments)
    # mke2fs heeds only the last -O and the last -E, so the profile's and the class's are joined.
    asked["-O"] = _joined("none", features, asked.get("-O"))
    asked["-E"] = _joined(
        "discard" if options.discard else "nodiscard",
        "lazy_itable_init=1,lazy_journal_init=1",
        asked.get("-E"),
    )
    if options.bytes_per_inode is not None:
        asked["-i"] = str(options.bytes_per_inode)
    return (
        *(command, "-q", "-b", str(options.block_size_bytes)),
        *("-m", str(options.reserved_blocks_percent)),
        *("-I", str(options.inode_size_bytes or 256)),
        *_flat(asked),
    )


def _xfs(options: FormatOptions) -> tuple[str, ...]:
    return (
        *("mkfs.xfs", "-q", "-m", f"crc=1,finobt=1,rmapbt=0,{_XFS_METADATA[options.xfs_compat]}"),
        *("-b", f"size={options.block_size_bytes}", "-s", f"size={_SECTOR_BYTES}"),
        *("-i", f"sparse=1,nrext64=0,size={options.inode_size_bytes or 512}"),
        *(() if options.discard else ("-K",)),
        *_flat(dict(options.mkfs_arguments)),
    )


def _btrfs(options: FormatOptions) -> tuple[str, ...]:
    asked = {"-m": "dup", "-d": "single", **dict(options.mkfs_arguments)}
    asked["-O"] = _joined(_BTRFS_FEATURES, asked.get("-O"))
    return (
        *("mkfs.btrfs", "-q", "-s", str(options.block_size_bytes)),
        *("-R", "free-space-tree"),
        *(() if options.discard else ("-K",)),
        *_flat(asked),
    )


def _joined(*lists: str | None) -> str:
    return ",".join(each for each in lists if each)


def _flat(arguments: dict[str, str]) -> tuple[str, ...]:
    return tuple(word for pair in arguments.items() for word in pair)
