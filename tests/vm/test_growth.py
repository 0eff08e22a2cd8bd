"""A file system grows under the pod that uses it, where the kernel allows that to all (S8)."""

from __future__ import annotations

import pytest

from tests.vm.conftest import MakeVolume
from tests.vm.machine import GIB

# Of two GiB; the rest is what the file systems keep for themselves.
FILLED_BYTES = int(1.8 * GIB)


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_mounted_file_system_grows_without_being_unmounted(
    make_volume: MakeVolume, filesystem: str
) -> None:
    """S8: ext4 above all, which needs a capability that test machines lack."""
    volume = make_volume(filesystem, gib=1)
    volume.bring()
    volume.write_canary()
    before = volume.mount_ids()
    assert volume.size_bytes() < 1 * GIB + 1

    volume.grow(gib=2)
    volume.expand()

    assert volume.mount_ids() == before
    assert volume.size_bytes() > FILLED_BYTES
    assert volume.read_canary() == volume.id


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_file_system_fills_the_disk_that_grew_before_it_was_staged(
    make_volume: MakeVolume, filesystem: str
) -> None:
    """S8: staging is enough; nobody has to ask for the growth."""
    volume = make_volume(filesystem, gib=1)
    volume.bring()
    volume.write_canary()
    volume.leave()

    volume.grow(gib=2)
    volume.bring()

    assert volume.size_bytes() > FILLED_BYTES
    assert volume.read_canary() == volume.id
