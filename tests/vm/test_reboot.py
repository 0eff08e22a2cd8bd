"""The node restarts without a word to kubelet or driver (S15)."""

from __future__ import annotations

from tests.vm.conftest import MakeVolume
from tests.vm.node import Node


def test_volumes_mounted_at_a_reboot_are_staged_again_with_what_they_held(
    node: Node, make_volume: MakeVolume
) -> None:
    """S15, D2: kubelet's folders are still there, the mounts aren't, and devices changed names."""
    first = make_volume("ext4")
    volumes = [make_volume(filesystem) for filesystem in ("ext4", "xfs", "btrfs")]
    for volume in volumes:
        volume.bring()
        volume.write_canary()
    before = [volume.device() for volume in volumes]
    first.detach()  # all others move up

    node.reboot()

    assert [volume.mounts() for volume in volumes] == [[], [], []]
    for volume in volumes:
        volume.bring()
    assert [volume.read_canary() for volume in volumes] == [volume.id for volume in volumes]
    assert [volume.device() for volume in volumes] != before
    for volume in volumes:
        volume.leave()
        assert volume.mounts() == []
