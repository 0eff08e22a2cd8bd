"""S28: the flags of a volume hold at every path at which it is shown."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess

import grpc
import pytest

from tests.node.conftest import FORMAT, Mode, Tools, Volume, mount_capability
from tests.node.disks import mounts_of, run
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

# What mountinfo says of one mount, beside rw and ro.
FLAGS = ["nosuid", "nodev", "noexec", "noatime", "nodiratime"]
OF_A_MOUNT = {*FLAGS, "relatime", "ro"}


def flags_of(path: pathlib.Path) -> set[str]:
    """Return what mountinfo says of the topmost mount at a path, its file system's aside."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    options = [fields[5] for fields in map(str.split, lines) if fields[4] == str(path)]
    return set(options[-1].split(",")) & OF_A_MOUNT


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
@pytest.mark.parametrize("readonly", [False, True])
def test_a_target_has_every_flag_of_its_staging_mount(
    volume: Volume, filesystem: str, readonly: bool
) -> None:  # S28
    strict = (["strictatime"], ["strictatime", "nodiratime"])
    for flags in ([], *([flag] for flag in FLAGS), FLAGS, *strict):
        capability = mount_capability(filesystem, flags=tuple(flags))
        volume.stage_as(capability)

        target = volume.publish(capability=capability, readonly=readonly)

        staged = flags_of(volume.staging)
        assert staged >= set(flags) - {"strictatime"}
        assert flags_of(target) == staged | ({"ro"} if readonly else set())
        volume.unpublish()
        volume.unstage()


def test_a_program_on_a_noexec_volume_does_not_run_from_a_read_only_target(
    volume: Volume,
) -> None:  # S28
    capability = mount_capability("ext4", flags=("noexec",))
    volume.stage_as(capability)
    program = volume.staging / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(stat.S_IRWXU)

    target = volume.publish(capability=capability, readonly=True)

    with pytest.raises(PermissionError):
        subprocess.run([target / "program"], check=True)


@pytest.mark.parametrize("left", ["bind", "bind,ro"])
def test_a_mount_without_its_flags_is_given_them(
    volume: Volume, left: str
) -> None:  # S28: a driver that was killed left the first, an older one the second
    capability = mount_capability("ext4", flags=("nosuid", "noexec"))
    volume.stage_as(capability)
    volume.target().mkdir(parents=True)
    run("mount", "-o", left, str(volume.staging), str(volume.target()))

    target = volume.publish(capability=capability, readonly=True)

    assert flags_of(target) == {"ro", "nosuid", "noexec", "relatime"}
    assert len(mounts_of(volume.disk.path)) == 2


def test_a_mount_that_drops_a_flag_is_not_handed_to_a_pod(volume: Volume, tools: Tools) -> None:
    capability = mount_capability("ext4", flags=("noexec",))
    volume.stage_as(capability)
    drop = 'args=$(echo "$*" | sed s/,ro//); exec /usr/bin/mount $args'
    tools.replace("mount", drop)

    with refused(grpc.StatusCode.UNAVAILABLE, "instead of noexec"):
        volume.publish(capability=capability, readonly=True)

    (tools.folder / "mount").unlink()
    assert mounts_of(volume.disk.path) == [str(volume.staging)]


@pytest.mark.parametrize(
    ("flags", "mode", "read_only"),
    [
        (("ro", "rw"), Mode.SINGLE_NODE_WRITER, False),
        (("rw", "ro"), Mode.SINGLE_NODE_WRITER, True),
        (("ro", "rw", "ro"), Mode.SINGLE_NODE_WRITER, True),
        (("ro", "rw"), Mode.SINGLE_NODE_READER_ONLY, True),
        (("rw",), Mode.SINGLE_NODE_READER_ONLY, True),
    ],
)
def test_of_ro_and_rw_the_last_one_counts(
    volume: Volume, flags: tuple[str, ...], mode: Mode.Mode.ValueType, read_only: bool
) -> None:  # S28
    volume.disk.format("ext4")
    capability = mount_capability("ext4", flags=flags, mode=mode)

    for _ in range(2):
        volume.stage_as(capability, context=FORMAT)
        target = volume.publish(capability=capability)

    assert ("ro" in flags_of(volume.staging)) is read_only
    assert bool(os.statvfs(target).f_flag & os.ST_RDONLY) is read_only


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_what_ends_up_writable_replays_its_journal(volume: Volume, filesystem: str) -> None:  # S28
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "norecovery"):
        volume.stage(filesystem, flags=("ro", "norecovery", "rw"))


def test_a_repair_checks_no_file_system_whose_class_says_never(
    volume: Volume, tools: Tools
) -> None:  # D8
    context = {**FORMAT, "fsck": "never"}
    volume.stage(context=context)
    run("mount", "-o", "remount,ro", str(volume.staging))
    tools.watch("e2fsck")

    before = tools.count("e2fsck")
    target = volume.publish(context=context)

    (tools.folder / "e2fsck").unlink()
    assert tools.count("e2fsck") == before
    (target / "file").write_text("works again")
