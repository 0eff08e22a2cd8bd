"""A volume is the disk that says so itself, whatever the links say (D2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.vm.conftest import MakeVolume
from tests.vm.node import Node
from tests.vm.volumes import Volume


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_two_volumes_with_swapped_links_each_show_their_own_canary(
    node: Node, make_volume: MakeVolume, filesystem: str
) -> None:
    """D2: the links that udev made are exchanged between two uses of the volumes."""
    one, other = make_volume(filesystem), make_volume(filesystem)
    for volume in (one, other):
        volume.bring()
        volume.write_canary()
        volume.leave()

    with _swapped_links(node, one, other):
        for volume in (one, other):
            volume.bring()
        seen = [volume.read_canary() for volume in (one, other)]
        for volume in (one, other):
            volume.leave()

    assert seen == [one.id, other.id]


@contextmanager
def _swapped_links(node: Node, one: Volume, other: Volume) -> Iterator[None]:
    """Have the links of two volumes name each other's device, also at the end of the block."""
    machine = node.machine
    # As udev would put them right as soon as one of the devices is closed by a writer.
    machine.run("udevadm", "control", "--stop-exec-queue")
    try:
        devices = [
            machine.run("readlink", "-f", volume.disk.link).strip() for volume in (one, other)
        ]
        crossed = dict(zip((other.disk.link, one.disk.link), devices, strict=True))
        for link, device in crossed.items():
            machine.run("ln", "-sfn", device, link)
        yield
        for link, device in crossed.items():
            assert machine.run("readlink", "-f", link).strip() == device
    finally:
        machine.run("udevadm", "control", "--start-exec-queue")
        machine.run("udevadm", "trigger", "--action=change", "--subsystem-match=block", "--settle")
