"""What a class may ask of mkfs and mount: good, bad and hostile values (F13)."""

import mmap
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import Filesystem
from csi_exoblock.options import (
    FormatOptions,
    FormatPolicy,
    FsckPolicy,
    VolumeContext,
    XfsCompat,
    mount_flags,
)

pytestmark = pytest.mark.fast

EXT3, EXT4, XFS, BTRFS = Filesystem.EXT3, Filesystem.EXT4, Filesystem.XFS, Filesystem.BTRFS
IDENTITY = {"storage.kubernetes.io/csiProvisionerIdentity": "1700000000-1-exoblock"}

SELINUX = 'context="system_u:object_r:container_file_t:s0:c1,c2"'


def parse_and_check(filesystem: Filesystem, parameters: dict[str, str]) -> FormatOptions:
    """Read options as the edge does, and hold them against a file system."""
    options = VolumeContext.parse(parameters).options
    options.check(filesystem)
    return options


@pytest.mark.parametrize(
    ("filesystem", "parameters"),
    [
        (EXT4, {}),
        (EXT4, {"mkfsOptions": ""}),
        (EXT4, {"mkfsOptions": "-E stride=16,lazy_itable_init=0 -O quota,^dir_index"}),
        (EXT4, {"mkfsOptions": "  -T   largefile4 "}),
        (EXT4, {"mkfsOptions": "-E root_owner=1000:1000"}),
        (EXT4, {"fsFormatOptions": "-O project"}),
        (EXT4, {"inodeSize": "512", "bytesPerInode": "65536", "reservedBlocksPercent": "1"}),
        (EXT3, {"mkfsOptions": "-O ^dir_index", "inodeSize": "256"}),
        (XFS, {"mkfsOptions": "-i maxpct=10", "inodeSize": "1024", "xfsCompat": "lts_5.15"}),
        (BTRFS, {"mkfsOptions": "-m dup -d single --csum xxhash -O no-holes"}),
        (BTRFS, {"blockSize": "4096", "discardOnFormat": "TRUE"}),
        (XFS, {"BLOCKSIZE": "4096", "DiscardOnFormat": "false"}),
    ],
)
def test_harmless_options_are_taken(filesystem: Filesystem, parameters: dict[str, str]) -> None:
    parse_and_check(filesystem, parameters)


@pytest.mark.parametrize(
    ("filesystem", "options"),
    [
        # overwrites what is there (D1)
        (EXT4, "-F"),
        (EXT4, "-F -F"),
        (EXT4, "-FO quota"),
        (XFS, "-f -i"),
        (BTRFS, "-f -f"),
        (BTRFS, "--force --force"),
        # writes half, or elsewhere
        (EXT4, "-S yes"),
        (EXT4, "-n -n"),
        (EXT4, "-E offset=1048576"),
        (EXT4, "-z /tmp/undo"),
        (EXT4, "-d /etc"),
        (EXT4, "-l /etc/passwd"),
        (EXT4, "-J device=/dev/vda"),
        (EXT4, "-E stride=16,offset=4096"),
        (EXT4, "-E assume_storage_prezeroed=1"),
        (XFS, "-d file=1,name=/etc/shadow"),
        (XFS, "-l logdev=/dev/vda"),
        (XFS, "-r rtdev=/dev/vda"),
        (XFS, "-p /etc/passwd"),
        (XFS, "-c options=/etc/passwd"),
        (XFS, "-s size=512"),
        (BTRFS, "-r /etc"),
        (BTRFS, "--rootdir /etc"),
        (BTRFS, "-b 1048576"),
        (BTRFS, "-d raid0"),
        # another device, as one more argument
        (EXT4, "/dev/vda"),
        (EXT4, "/dev/vda /dev/vdb"),
        (EXT4, "-O /dev/vda"),
        (EXT4, "-- /dev/vda"),
        (BTRFS, "-m dup /dev/vda"),
        (BTRFS, "/dev/vda -m"),
        # found by the host under a name of its own
        (EXT4, "-L cloudimg-rootfs"),
        (EXT4, "-U 6f2c1d3e-0000-4000-8000-000000000000"),
        (XFS, "-L root"),
        (XFS, "-m uuid=6f2c1d3e-0000-4000-8000-000000000000"),
        (BTRFS, "-L root"),
        # stops the host at the first error
        (EXT4, "-e panic"),
        # a shell's words: there is no shell, and the text is no option either
        (EXT4, "-O $(reboot)"),
        (EXT4, "-O quota;reboot"),
        (EXT4, "-O `id`"),
        (EXT4, "-E stride=1\x00"),
        # for another file system, unknown, or twice
        (XFS, "-O quota"),
        (BTRFS, "-E stride=16"),
        (EXT4, "-m dup"),
        (EXT4, "-O no_such_feature"),
        (EXT4, "-O ^^quota"),
        (EXT4, "-O quota,"),
        (EXT4, "-O quota -O project"),
        (EXT4, "-E stride"),
        (EXT4, "-E stride=-1"),
        (EXT4, "-E stride=\uff11\uff16"),
        (EXT4, "-T floppy"),
        (EXT4, "--help me"),
        # would fail on the node
        (EXT3, "-O bigalloc"),
        (XFS, "-m reflink=1"),
        # have parameters of their own
        (EXT4, "-b 1024"),
        (EXT4, "-i 65536"),
        (EXT4, "-I 128"),
        (EXT4, "-m 0"),
        (XFS, "-b size=512"),
        (BTRFS, "-s 512"),
    ],
)
def test_other_options_of_mkfs_are_refused(filesystem: Filesystem, options: str) -> None:
    with pytest.raises(InvalidRequest, match="mkfsOptions"):
        parse_and_check(filesystem, {"mkfsOptions": options})


@pytest.mark.parametrize(
    ("filesystem", "parameters"),
    [
        (EXT4, {"blockSize": "512"}),  # N9
        (EXT4, {"blockSize": "1024"}),
        (EXT4, {"blockSize": "4095"}),
        (EXT4, {"blockSize": "5000"}),
        (EXT4, {"blockSize": "131072"}),
        (EXT4, {"blockSize": "4k"}),
        (EXT4, {"blockSize": ""}),
        (EXT4, {"inodeSize": "128"}),
        (EXT4, {"inodeSize": "300"}),
        (EXT4, {"inodeSize": "8192"}),
        (EXT4, {"inodeSize": "4096", "bytesPerInode": "4096"}),
        (XFS, {"inodeSize": "256"}),
        (XFS, {"inodeSize": "4096"}),
        (BTRFS, {"inodeSize": "512"}),
        (EXT4, {"bytesPerInode": "1024"}),
        (EXT4, {"bytesPerInode": "-4096"}),
        (XFS, {"bytesPerInode": "65536"}),
        (EXT4, {"reservedBlocksPercent": "51"}),
        (EXT4, {"reservedBlocksPercent": "0.5"}),
        (XFS, {"reservedBlocksPercent": "5"}),
        (XFS, {"xfsCompat": "../../../etc/passwd"}),
        (XFS, {"xfsCompat": "lts_2.6"}),
        (EXT4, {"xfsCompat": "lts_5.15"}),
        (EXT4, {"discardOnFormat": "yes"}),
        (EXT4, {"fsck": "always"}),
        (EXT4, {"format": "always"}),
        (EXT4, {"format": "IFBLANK"}),
        (EXT4, {"partition": "0"}),
        (EXT4, {"partition": "1p2"}),
        (EXT4, {"partition": "../vda1"}),
        (EXT4, {"partition": "1", "format": "ifBlank"}),
        (EXT4, {"encrypted": "true"}),
        (EXT4, {"encrypted": "maybe"}),
        (EXT4, {"mkfsOptions": "-O quota", "fsFormatOptions": "-O quota"}),
    ],
)
def test_bad_parameters_are_refused_by_name(
    filesystem: Filesystem, parameters: dict[str, str]
) -> None:
    name = next(iter(parameters))

    with pytest.raises(InvalidRequest, match=name):
        parse_and_check(filesystem, parameters)


def test_encryption_that_is_not_asked_for_is_no_error() -> None:
    assert VolumeContext.parse({"encrypted": "false"}) == VolumeContext.parse({})


@pytest.mark.parametrize(
    ("attributes", "policy"),
    [
        # F9: who wrote the PV decides
        ({}, FormatPolicy.NEVER),
        (IDENTITY, FormatPolicy.IF_BLANK),
        ({"format": "ifBlank"}, FormatPolicy.IF_BLANK),
        ({"FORMAT": "ifBlank"}, FormatPolicy.IF_BLANK),
        ({**IDENTITY, "format": "never"}, FormatPolicy.NEVER),
        ({"fsck": "never", "mkfsOptions": "-O quota"}, FormatPolicy.NEVER),
        ({"someone": "else's attribute"}, FormatPolicy.NEVER),
        ({**IDENTITY, "partition": "1"}, FormatPolicy.NEVER),
    ],
)
def test_only_the_provisioners_volumes_and_those_that_say_so_are_formatted(
    attributes: dict[str, str], policy: FormatPolicy
) -> None:  # D1, F8: a volume of the vendor's driver has no attribute of this one
    assert VolumeContext.parse(attributes).format is policy


contexts = st.builds(
    VolumeContext,
    format=st.sampled_from(FormatPolicy),
    fsck=st.sampled_from(FsckPolicy),
    options=st.builds(
        FormatOptions,
        block_size_bytes=st.sampled_from([4096, 8192, 65536]),
        inode_size_bytes=st.none() | st.sampled_from([256, 512, 4096]),
        bytes_per_inode=st.none() | st.integers(4096, 65536),
        reserved_blocks_percent=st.integers(0, 50),
        xfs_compat=st.sampled_from(XfsCompat),
        discard=st.booleans(),
        mkfs_arguments=st.sampled_from(
            [(), (("-O", "quota,^dir_index"),), (("-E", "stride=16"), ("-O", "quota"))]
        ),
    ),
)


@given(contexts)
def test_node_reads_what_the_controller_wrote(context: VolumeContext) -> None:
    assert VolumeContext.parse(context.to_mapping()) == context


# Source: dpkg -L xfsprogs, 6.1.0-1 of Debian 12, as in the image.
PROFILES_OF_XFSPROGS = {"dax_x86_64", "lts_4.19", "lts_5.4", "lts_5.10", "lts_5.15", "lts_6.1"}


def test_every_xfs_profile_is_one_of_xfsprogs() -> None:  # S17
    assert set(XfsCompat) == {each for each in PROFILES_OF_XFSPROGS if each.startswith("lts_")}


# ---- mount options


@pytest.mark.parametrize("filesystem", Filesystem)
def test_flags_keep_their_order_and_come_once(filesystem: Filesystem) -> None:
    flags = mount_flags(
        ("noatime", SELINUX, "nosuid", "noatime", SELINUX), filesystem, read_only=False
    )

    assert flags == ("nosuid", "noatime", SELINUX)  # S24: the label's comma splits nothing


@pytest.mark.parametrize(
    ("filesystem", "flag"),
    [
        (EXT4, "data=ordered"),
        (EXT4, "commit=30"),
        (EXT3, "errors=remount-ro"),
        (XFS, "nouuid"),
        (XFS, "allocsize=1m"),
        (BTRFS, "compress=zstd:3"),
        (BTRFS, "discard=async"),
        (EXT4, "context=system_u:object_r:container_file_t:s0"),
        (EXT4, "discard"),
        (EXT4, "ro"),
    ],
)
def test_harmless_flags_are_taken(filesystem: Filesystem, flag: str) -> None:
    assert mount_flags((flag,), filesystem, read_only=False) == (flag,)


@pytest.mark.parametrize(
    ("filesystem", "flag"),
    [
        (EXT4, "loop"),
        (EXT4, "loop=/dev/loop0"),
        (EXT4, "remount"),
        (EXT4, "bind"),
        (EXT4, "rbind"),
        (EXT4, "move"),
        (EXT4, "shared"),
        (EXT4, "offset=4096"),
        (EXT4, "sizelimit=1"),
        (EXT4, "sb=8193"),
        (EXT4, "journal_path=/dev/vda"),
        (EXT4, "usrjquota=/etc/passwd"),
        (XFS, "logdev=/dev/vda"),
        (BTRFS, "device=/dev/vda"),
        (BTRFS, "subvol=/"),
        (BTRFS, "degraded"),
        (EXT4, "errors=panic"),
        (EXT4, "errors=continue"),
        (EXT4, "nobarrier"),
        (EXT4, "barrier=0"),
        (EXT4, "data=writeback"),
        (EXT4, "X-mount.mkdir=/etc"),
        (EXT4, "x-systemd.automount"),
        (EXT4, "noatime,loop"),
        (EXT4, "noatime,nodiratime"),
        (EXT4, "context=a,loop"),
        (EXT4, 'context="a",loop'),
        (EXT4, 'context="a" loop'),
        (EXT4, "context="),
        (EXT4, ""),
        (EXT4, "noatime "),
        (EXT4, "noatime=1"),
        (EXT4, "--bind"),
        (EXT4, "nouuid"),
        (XFS, "data=ordered"),
        (EXT4, "norecovery"),
        (EXT4, "noload"),
        (XFS, "norecovery"),
        (BTRFS, "rescue=nologreplay"),
        (BTRFS, "rescue=all"),
        # no kernel of today takes them
        (EXT4, "noacl"),
        (EXT3, "prjquota"),
        (XFS, "acl"),
        (XFS, "allocsize=1"),
        (XFS, "allocsize=3k"),
        (XFS, "allocsize=2g"),
    ],
)
def test_other_flags_are_refused(filesystem: Filesystem, flag: str) -> None:
    with pytest.raises(InvalidRequest, match="mount option"):
        mount_flags((flag,), filesystem, read_only=False)


@pytest.mark.parametrize(("filesystem", "flag"), [(EXT4, "noload"), (XFS, "norecovery")])
def test_a_journal_stays_unplayed_on_read_only_mounts_only(
    filesystem: Filesystem, flag: str
) -> None:
    for flags, read_only in (((flag,), True), (("ro", flag), False), (("rw", flag, "ro"), False)):
        assert mount_flags(flags, filesystem, read_only=read_only) == (flag, "ro")
    for flags in (("ro", flag, "rw"), ("rw", flag), (flag, "ro", "rw")):  # S28
        with pytest.raises(InvalidRequest, match=flag):
            mount_flags(flags, filesystem, read_only=False)


@pytest.mark.parametrize(
    ("flags", "merged"),
    [
        (("ro", "rw"), ()),
        (("rw", "ro"), ("ro",)),
        (("ro", "rw", "ro"), ("ro",)),
        (("rw", "ro", "noatime", "rw"), ("noatime",)),
        (("noexec", "exec", "noexec"), ("exec", "noexec")),
    ],
)
def test_of_contradicting_flags_the_last_one_counts(
    flags: tuple[str, ...], merged: tuple[str, ...]
) -> None:  # S28
    assert mount_flags(flags, EXT4, read_only=False) == merged


@pytest.mark.parametrize("flags", [("rw",), ("ro", "rw"), ()])
def test_a_mode_that_only_reads_is_read_only_whatever_the_flags_say(
    flags: tuple[str, ...],
) -> None:  # S28
    assert mount_flags(flags, EXT4, read_only=True) == ("ro",)


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (("data=journal", "delalloc"), False),
        (("delalloc", "data=journal"), False),
        (("delalloc", "nodelalloc", "data=journal"), False),  # the kernel remembers the first
        (("data=journal", "dioread_nolock"), False),
        (("data=journal", "data=ordered", "delalloc"), True),
        (("data=journal", "nodelalloc"), True),
    ],
)
def test_flags_that_the_kernel_refuses_together_are_refused(
    flags: tuple[str, ...], allowed: bool
) -> None:  # S28
    with nullcontext() if allowed else pytest.raises(InvalidRequest, match="data=journal"):
        assert mount_flags(flags, EXT4, read_only=False)


@pytest.mark.parametrize("block_size", [8192, 16384, 65536])
def test_blocks_larger_than_a_page_are_refused(block_size: int) -> None:  # N9, S28
    options = FormatOptions.parse({"blocksize": str(block_size)})

    if block_size <= mmap.PAGESIZE:
        options.check_page_size()
    else:
        with pytest.raises(InvalidRequest, match=f"blockSize {block_size} exceeds a page"):
            options.check_page_size()


# Text of the letters that the allow-lists know: far more of it gets through than of any text.
almost = st.text(alphabet="-EOTmdi quota,=^stride16:/.", max_size=40)


@given(filesystem=st.sampled_from(Filesystem), text=almost)
def test_no_text_smuggles_a_path_into_mkfs(filesystem: Filesystem, text: str) -> None:
    try:
        options = parse_and_check(filesystem, {"mkfsOptions": text})
    except InvalidRequest:
        return

    for option, value in options.mkfs_arguments:
        assert option.startswith("-")
        assert not value.startswith("-")
        assert "/" not in value


@given(filesystem=st.sampled_from(Filesystem), text=almost | st.text(max_size=20))
def test_no_text_smuggles_a_second_flag_into_mount(filesystem: Filesystem, text: str) -> None:
    try:
        flags = mount_flags((text,), filesystem, read_only=False)
    except InvalidRequest:
        return

    assert len(flags) == (text != "rw")
    assert not set("".join(flags)) & set(",/ ")
