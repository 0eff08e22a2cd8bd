"""N19: a new volume that reads as noise is formatted; nothing else that reads so ever is."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from tests.node.conftest import (
    FORMAT,
    MakeDisk,
    Tools,
    Volume,
    block_capability,
    mount_capability,
)
from tests.node.disks import GIB, Disk, mounts_of
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused

pytestmark = pytest.mark.root

REPOSITORY = pathlib.Path(__file__).parents[2]
MIB = 1024**2
FILESYSTEMS = ("ext4", "ext3", "xfs", "btrfs")
# The tests' time runs five times as fast, and a day of it is hours.
LONG_AGO = timedelta(days=2)
# Not the whole process's clock: gRPC takes it for the one of its waits.
WRONG_CLOCK = """
import time
from types import SimpleNamespace
from csi_exoblock.host import history
history.time = SimpleNamespace(time=lambda: time.time() + {days} * 86400)
"""


def made(age: timedelta = timedelta()) -> dict[str, str]:
    """Return a publish context of a volume that had this age when it was attached, just now."""
    now = datetime.now(UTC)
    return {"created-at": (now - age).isoformat(), "attached-at": now.isoformat()}


def scramble(disk: Disk) -> None:
    """Have it read as noise wherever anybody checks whether it is blank."""
    disk.write(0, os.urandom(4 * MIB))
    disk.write(GIB - 4 * MIB, os.urandom(4 * MIB))


def stage(
    volume: Volume,
    filesystem: str = "ext4",
    *,
    publish_context: dict[str, str] | None = None,
    context: dict[str, str] = FORMAT,
) -> None:
    volume.stage_as(
        mount_capability(filesystem),
        context=context,
        publish_context=made() if publish_context is None else publish_context,
    )


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_new_volume_of_noise_is_formatted_and_works(
    volume: Volume, tools: Tools, filesystem: str
) -> None:
    scramble(volume.disk)
    before = tools.count(f"mkfs.{filesystem}")

    stage(volume, filesystem)
    (volume.staging / "canary").write_text("mine")
    volume.unstage()
    stage(volume, filesystem)

    assert (volume.staging / "canary").read_text() == "mine"
    assert tools.count(f"mkfs.{filesystem}") == before + 1


@pytest.mark.parametrize(
    ("publish_context", "why"),
    [
        ({}, "nothing says that it is a new volume"),
        ({"created-at": made()["created-at"]}, "nothing says that it is a new volume"),
        (made() | {"created-at": "yesterday"}, "nothing says that it is a new volume"),
        (made() | {"created-at": "2026-01-01T00:00:00"}, "nothing says that it is a new volume"),
        (made(LONG_AGO), "isn't new"),
        (made(-LONG_AGO), "isn't new"),
    ],
    ids=["no age", "no end of it", "no time", "no time zone", "too old", "from the future"],
)
def test_noise_on_a_volume_that_is_not_known_to_be_new_is_never_formatted(
    volume: Volume, tools: Tools, publish_context: dict[str, str], why: str
) -> None:
    scramble(volume.disk)
    before = tools.count("mkfs.ext4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "reads as noise", why, "with zeros"):
        stage(volume, publish_context=publish_context)

    assert tools.count("mkfs.ext4") == before


def test_a_used_disk_whose_start_was_overwritten_with_noise_is_never_formatted(
    volume: Volume, tools: Tools
) -> None:
    stage(volume)
    volume.unstage()
    scramble(volume.disk)
    before = tools.count("mkfs.ext4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "this node has used the volume before"):
        stage(volume)

    assert tools.count("mkfs.ext4") == before


@pytest.mark.parametrize("publish_context", [{}, made()], ids=["no age", "new"])
def test_what_was_formatted_elsewhere_and_mounted_here_is_never_formatted(
    volume: Volume, publish_context: dict[str, str]
) -> None:
    volume.disk.format("ext4")
    stage(volume, publish_context=publish_context)
    volume.unstage()
    scramble(volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "this node has used the volume before"):
        stage(volume)


def test_what_was_published_raw_is_never_formatted(volume: Volume) -> None:
    attached = made()
    volume.stage_as(block_capability(), publish_context=attached)
    volume.publish(capability=block_capability(), publish_context=attached)
    volume.unpublish()
    volume.unstage()
    scramble(volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "this node has used the volume before"):
        stage(volume)


@pytest.fixture
def start_with_wrong_clock(
    start_node: Callable[..., DriverProcess], tmp_path: pathlib.Path
) -> Callable[[int], DriverProcess]:
    def start(days: int) -> DriverProcess:
        (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK.format(days=days))
        first_imported = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
        return start_node(PYTHONPATH=first_imported)

    return start


@pytest.fixture
def ahead(start_with_wrong_clock: Callable[[int], DriverProcess]) -> DriverProcess:
    """A driver whose clock is two days ahead, so that a new volume seems to be an old one."""
    return start_with_wrong_clock(2)


@pytest.fixture
def behind(start_with_wrong_clock: Callable[[int], DriverProcess]) -> DriverProcess:
    """A driver whose clock is two days behind, so that an old volume seems to be a new one."""
    return start_with_wrong_clock(-2)


def test_a_clock_that_is_behind_makes_no_old_volume_new(
    volume: Volume, tools: Tools, behind: DriverProcess
) -> None:  # D1: the volume was used on another node
    scramble(volume.disk)
    before = tools.count("mkfs.ext4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "attached at", "isn't new"):
        stage(volume.served_by(behind), publish_context=made(LONG_AGO))

    assert tools.count("mkfs.ext4") == before


def test_a_new_volume_is_formatted_although_the_clock_is_behind(
    volume: Volume, behind: DriverProcess
) -> None:
    scramble(volume.disk)

    stage(volume.served_by(behind))


def test_what_was_used_while_the_clock_was_ahead_is_known_when_it_is_right_again(
    volume: Volume, ahead: DriverProcess
) -> None:  # D1
    too_early = volume.served_by(ahead)
    attached = made()
    stage(too_early, publish_context=attached)
    too_early.unstage()
    scramble(volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "this node has used the volume before"):
        stage(volume, publish_context=attached)


def test_a_clock_that_is_ahead_makes_nothing_forgotten(
    volume: Volume,
    make_disk: MakeDisk,
    make_volume: Callable[..., Volume],
    ahead: DriverProcess,
) -> None:  # D1
    attached = made()
    stage(volume, publish_context=attached)
    volume.unstage()
    stage(make_volume(make_disk(), ahead))
    scramble(volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "this node has used the volume before"):
        stage(volume, publish_context=attached)


def test_a_clock_that_is_ahead_is_named(volume: Volume, ahead: DriverProcess) -> None:
    scramble(volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "isn't new", "this node's clock says"):
        stage(volume.served_by(ahead))


def test_what_a_driver_has_used_is_known_to_its_successor(
    volume: Volume, start_node: Callable[..., DriverProcess]
) -> None:
    stage(volume)
    volume.unstage()
    scramble(volume.disk)
    later = volume.served_by(start_node())

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "this node has used the volume before"):
        stage(later)


@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (MIB, bytes(64 * 1024)),
        (MIB + 4096, bytes(4096)),
        (GIB - 64 * 1024, bytes(64 * 1024)),
        (64 * 1024, b"a diary, in plain words. " * 200),
        (0, bytes(2 * MIB)),
        (GIB - MIB, bytes(MIB)),
    ],
    ids=["hole", "page of zeros", "hole at the end", "text", "zeros, then noise", "half and half"],
)
def test_noise_with_anything_else_in_it_is_never_formatted(
    volume: Volume, tools: Tools, offset: int, data: bytes
) -> None:
    scramble(volume.disk)
    volume.disk.write(offset, data)
    before = tools.count("mkfs.ext4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "isn't zeroed"):
        stage(volume)

    assert tools.count("mkfs.ext4") == before


def test_noise_on_a_restored_or_imported_volume_is_never_formatted(volume: Volume) -> None:
    scramble(volume.disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "format: ifBlank"):
        stage(volume, context={"format": "never"})


def test_a_signature_in_the_noise_counts(volume: Volume) -> None:
    scramble(volume.disk)
    volume.disk.write(0, b"LUKS\xba\xbe")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "LUKS"):
        stage(volume)


def test_a_mkfs_that_was_killed_on_noise_is_begun_again(volume: Volume, tools: Tools) -> None:
    attached = made()
    scramble(volume.disk)
    tools.replace("mkfs.ext4", "kill -9 $$")
    with refused(grpc.StatusCode.UNAVAILABLE, "SIGKILL"):
        stage(volume, publish_context=attached)
    tools.watch("mkfs.ext4")

    stage(volume, publish_context=attached)

    assert mounts_of(volume.disk.path) == [str(volume.staging)]


def test_a_stage_that_failed_before_mkfs_leaves_the_volume_new(
    volume: Volume, tools: Tools
) -> None:
    """Kubelet unstages after it, and stages again."""
    scramble(volume.disk)
    tools.replace("blkid", "exit 4")
    assert outcome(lambda: stage(volume))[0] == "UNAVAILABLE"
    (tools.folder / "blkid").unlink()
    volume.unstage()

    stage(volume)


def test_the_window_can_be_closed(
    make_volume: Callable[..., Volume],
    disk: Disk,
    start_node: Callable[..., DriverProcess],
) -> None:
    volume = make_volume(disk, start_node("--new-volume-window", "0s"))
    scramble(disk)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "isn't new"):
        stage(volume)
