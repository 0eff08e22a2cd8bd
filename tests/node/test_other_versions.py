"""F5: files and contexts of 0.1.0 are understood for ever; what a later version adds is left alone.

After a roll back an older driver reads what a newer one wrote. What it cannot read must never count
as a licence to format or to write.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import grpc
import pytest

from tests.node.conftest import FORMAT, Tools, Volume, block_capability, mount_capability
from tests.node.disks import run
from tests.node.test_noise import made, scramble
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

# Source: Linux, fs/xfs/libxfs/xfs_format.h: sb_inprogress, set until mkfs has ended.
XFS_IN_PROGRESS = 126

LATER = {"of-a-later-version": "2"}


Record = Callable[[str], pathlib.Path]


@pytest.fixture
def record(folder: pathlib.Path, volume: Volume) -> Record:
    """Say where 0.1.0 keeps each kind of record of the volume."""

    def path(kind: str) -> pathlib.Path:
        records = folder / "kubelet" / "plugins" / "exoblock.csi.exoscale.com" / kind
        records.mkdir(parents=True, exist_ok=True)
        return records / volume.disk.volume_id.replace("/", ".")

    return path


def leave_unfinished(volume: Volume) -> None:
    """Leave what a killed mkfs.xfs leaves."""
    volume.disk.format("xfs")
    volume.disk.write(XFS_IN_PROGRESS, b"\1")


def test_a_mkfs_that_0_1_0_did_not_finish_is_begun_again(
    volume: Volume, record: Record, tools: Tools
) -> None:  # F5, D10: its marker holds the volume's id
    leave_unfinished(volume)
    record("formatting").write_text(volume.disk.volume_id)
    before = tools.count("mkfs.xfs")

    volume.stage("xfs")

    assert tools.count("mkfs.xfs") == before + 1
    assert not record("formatting").exists()


@pytest.mark.parametrize(
    "content", ["v2 {id}", "{id} mkfs.xfs", "{id} attached at night", "{id}\n", ""]
)
def test_a_marker_that_is_not_understood_allows_nothing(
    volume: Volume, record: Record, tools: Tools, content: str
) -> None:  # F5, D1
    leave_unfinished(volume)
    record("formatting").write_text(content.format(id=volume.disk.volume_id))
    before = tools.count("mkfs.xfs")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "unfinished xfs"):
        volume.stage("xfs")

    assert tools.count("mkfs.xfs") == before


@pytest.mark.parametrize("content", ["1764288000\n", "1764288000\nv2 more\n", ""])
def test_a_volume_that_another_version_used_is_not_new(
    volume: Volume, record: Record, content: str
) -> None:  # F5, N19
    scramble(volume.disk)
    record("used").write_text(content)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "used the volume before"):
        volume.stage_as(mount_capability(), publish_context=made())


def test_a_write_protection_that_0_1_0_set_is_lifted(
    volume: Volume, record: Record
) -> None:  # F5, F15: number and sequence of the disk
    volume.stage_as(block_capability())
    number = os.stat(volume.disk.path).st_rdev
    sequence = pathlib.Path(f"/sys/block/{volume.disk.path.name}/diskseq").read_text().strip()
    note = f"{os.major(number)}:{os.minor(number)} {sequence}"
    record("protected").write_text(note)
    run("blockdev", "--setro", str(volume.disk.path))

    volume.unstage()

    assert pathlib.Path(f"/sys/block/{volume.disk.path.name}/ro").read_text().strip() == "0"


def test_a_repair_that_0_1_0_did_not_finish_goes_on(
    volume: Volume, record: Record
) -> None:  # F5, D7: the number that the disk had, and where it was mounted
    volume.stage()
    run("umount", str(volume.staging))
    record("repairing").write_text(f"253:16 {volume.staging}")

    target = volume.publish()

    (target / "file").write_text("works")
    assert not record("repairing").exists()


def test_contexts_of_a_later_version_are_read_as_far_as_they_are_known(
    volume: Volume,
) -> None:  # F5: an older node serves what a newer controller made
    context = {**FORMAT, **LATER}

    volume.stage_as(mount_capability(), context=context, publish_context={**made(), **LATER})
    target = volume.publish(context=context, publish_context={**made(), **LATER})

    assert target.is_mount()
