"""A disk leaves its node while it is mounted, or stays in use after its mounts are gone (D4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from tests.support.grpc_errors import refused
from tests.vm.conftest import MakeVolume
from tests.vm.node import Node
from tests.vm.volumes import Volume

_EDGE_BYTES = 2 * 1024**2
FILESYSTEMS = ["ext4", "xfs", "btrfs"]


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_disk_removed_under_its_mount_leaves_cleanly_and_comes_back(
    node: Node, make_volume: MakeVolume, filesystem: str
) -> None:
    """D4, D6: what is left of a volume that was detached by force is cleaned up."""
    volume = make_volume(filesystem)
    volume.bring()
    volume.write_canary()

    volume.detach()
    seen = volume.health()
    volume.leave()

    assert seen == ["DeviceGone"]
    assert volume.mounts() == []
    volume.attach()
    volume.bring()
    assert volume.read_canary() == volume.id


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_disk_that_comes_back_before_it_was_unstaged_is_mounted_again(
    make_volume: MakeVolume, filesystem: str
) -> None:
    """D4: a mount of a vanished disk is no mount of the disk that has come back."""
    volume = make_volume(filesystem)
    volume.bring()
    volume.write_canary()
    volume.detach()
    volume.unpublish()

    volume.attach()
    volume.bring()

    assert volume.read_canary() == volume.id
    assert sorted(volume.mounts()) == sorted([volume.staging, volume.target])


def test_a_disk_in_the_slot_of_one_that_vanished_is_not_mistaken_for_it(
    make_volume: MakeVolume,
) -> None:
    """D2, D4: the dead mount of one volume and the live one of another are told apart."""
    gone, newcomer = make_volume(), make_volume(attached=False)
    gone.bring()
    gone.write_canary()
    gone.detach()

    newcomer.attach()
    newcomer.bring()
    newcomer.write_canary()
    gone.leave()

    assert gone.mounts() == []
    assert newcomer.read_canary() == newcomer.id
    newcomer.leave()
    gone.attach()
    gone.bring()
    assert gone.read_canary() == gone.id


def test_a_device_mapped_by_somebody_is_not_unstaged(node: Node, make_volume: MakeVolume) -> None:
    """D4: no mount shows it, yet the disk isn't free."""
    volume = make_volume("block")
    volume.bring()

    with _mapped(node, volume):
        volume.unpublish()
        with refused(grpc.StatusCode.FAILED_PRECONDITION, volume.id, "still in use"):
            volume.unstage()

    volume.unstage()


def test_a_device_mapped_by_somebody_is_not_formatted(node: Node, make_volume: MakeVolume) -> None:
    """D1: a holder of the disk may know better than its first bytes what is on it."""
    volume = make_volume("ext4")
    node.machine.wait_for_path(volume.disk.link)

    with _mapped(node, volume):
        with refused(grpc.StatusCode.UNAVAILABLE, volume.id, "is in use by dm-"):
            volume.stage()
        with volume.disk.file.open("rb") as content:
            start = content.read(_EDGE_BYTES)

    assert start == bytes(_EDGE_BYTES)
    volume.stage()


@contextmanager
def _mapped(node: Node, volume: Volume) -> Iterator[None]:
    """Have a device-mapper device on the volume's during the block."""
    device = volume.device()
    sectors = node.machine.run("blockdev", "--getsz", device).strip()
    table = f"0 {sectors} linear {device} 0"
    node.machine.run("dmsetup", "create", "held", "--table", table)
    try:
        yield
    finally:
        node.machine.run("dmsetup", "remove", "--retry", "held")
