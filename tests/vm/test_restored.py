"""A restored volume meets its source on one node (D9), on a kernel that users still have."""

from __future__ import annotations

import shutil

import grpc
import pytest

from tests.support.grpc_errors import refused
from tests.vm.conftest import MakeVolume
from tests.vm.node import Node
from tests.vm.volumes import Volume


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_restored_volume_is_used_beside_its_source(
    make_volume: MakeVolume, filesystem: str
) -> None:
    source, copy = _source_and_copy(make_volume, filesystem)
    source.bring()

    copy.attach()
    copy.bring()

    assert copy.read_canary() == source.id
    copy.write_canary()
    assert (source.read_canary(), copy.read_canary()) == (source.id, copy.id)


def test_a_second_btrfs_of_one_id_is_refused_until_the_first_has_left(
    node: Node, make_volume: MakeVolume
) -> None:
    """D9: before Linux 6.7 the kernel can't tell them apart."""
    assert _kernel(node) < (6, 7)
    source, copy = _source_and_copy(make_volume, "btrfs")
    source.bring()

    copy.attach()
    with refused(grpc.StatusCode.FAILED_PRECONDITION, copy.id, "btrfs", "another disk"):
        copy.stage()

    assert copy.mounts() == []
    assert source.read_canary() == source.id
    source.leave()
    source.detach()
    copy.bring()
    assert copy.read_canary() == source.id


def _source_and_copy(make_volume: MakeVolume, filesystem: str) -> tuple[Volume, Volume]:
    """Make a volume, and one that is the same bit by bit; neither is staged."""
    source, copy = make_volume(filesystem), make_volume(filesystem, attached=False)
    source.bring()
    source.write_canary()
    source.leave()
    shutil.copyfile(source.disk.file, copy.disk.file)
    return source, copy


def _kernel(node: Node) -> tuple[int, int]:
    major, minor = node.machine.run("uname", "-r").split(".")[:2]
    return int(major), int(minor)
