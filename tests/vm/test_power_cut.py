"""The power fails in the middle of writes, of mkfs and of growth; the next stage mends it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.support.waiting import wait_until
from tests.vm.conftest import MakeVolume
from tests.vm.machine import GIB, Disk
from tests.vm.node import Node
from tests.vm.volumes import Volume

FILESYSTEMS = ("ext4", "xfs", "btrfs")
KIB = 1024

_CHECKS = {
    "ext4": ("e2fsck", "-f", "-n"),
    "xfs": ("xfs_repair", "-f", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
}
_MARKERS = "/var/lib/kubelet/plugins/exoblock.csi.exoscale.com/formatting"
_RECORDS = 20

# Of a disk of 1 GiB mkfs writes 0.7, 65 and 5 MiB; that of ext4 in few and large pieces.
_MKFS_CUT_AFTER_KIB = {"ext4": (4, 32, 64), "xfs": (4, 1024, 32768), "btrfs": (4, 256, 2048)}

# Writes numbers, and tells which of them surely are on the disk.
_WRITER = """
number=0
while :; do
  number=$((number + 1))
  echo $number >> {target}/records && sync {target}/records && echo $number > {told}
done
"""


def test_what_was_synced_before_a_power_cut_is_there_after_it(
    node: Node, make_volume: MakeVolume
) -> None:
    """D8: the journal, or log, is replayed; nothing else of the file system is touched."""
    volumes = {filesystem: make_volume(filesystem) for filesystem in FILESYSTEMS}
    for volume in volumes.values():
        volume.bring()
        volume.write_canary()
        _start_writer(node, volume)
    told = {volume: _wait_for_records(node, volume) for volume in volumes.values()}

    node.stop()
    assert "needs_recovery" in _run("dumpe2fs", "-h", volumes["ext4"].disk.file)
    node.start()

    for filesystem, volume in volumes.items():
        volume.bring()
        records = [int(line) for line in volume.read("records").split()]
        assert records == list(range(1, len(records) + 1))
        assert len(records) >= told[volume]
        assert volume.read_canary() == volume.id
        volume.leave()
        _assert_sound(filesystem, volume.disk)


def test_a_disk_whose_mkfs_was_cut_off_is_formatted_at_the_next_stage(
    node: Node, make_volume: MakeVolume
) -> None:
    """D10: the marker on the node's own disk has survived, and tells whose work it is."""
    cuts = [(each, kib * KIB) for each, points in _MKFS_CUT_AFTER_KIB.items() for kib in points]
    volumes = [make_volume(filesystem) for filesystem, _ in cuts]
    for volume, (_, written_bytes) in zip(volumes, cuts, strict=True):
        node.machine.stall_after(volume.disk, written_bytes=written_bytes)

    with _calls_cut_off(node, *(volume.stage for volume in volumes)):
        for volume, (_, written_bytes) in zip(volumes, cuts, strict=True):
            _wait_for_writes(node, volume, written_bytes)
    markers = node.machine.run("ls", _MARKERS)

    for volume, (filesystem, _) in zip(volumes, cuts, strict=True):
        assert str(volume.disk.uuid) in markers
        volume.bring()
        volume.write_canary()
        volume.leave()
        _assert_sound(filesystem, volume.disk)
    assert node.machine.run("ls", _MARKERS) == ""


@pytest.mark.parametrize("grows_mounted_ext4", [True, False], ids=["mounted", "unmounted"])
def test_growth_that_was_cut_off_is_finished_by_the_next_stage(
    node: Node, make_volume: MakeVolume, grows_mounted_ext4: bool
) -> None:
    """S8: in the kernel, through the journal, or by resize2fs on its own."""
    cut_after = (4 * KIB, 64 * KIB, 256 * KIB)
    volumes = [make_volume("ext4") for _ in cut_after]
    for volume in volumes:
        volume.bring()
        volume.write_canary()
        volume.leave()
        volume.grow(gib=8)
    node.start_driver(grows_mounted_ext4=grows_mounted_ext4)
    for volume, written_bytes in zip(volumes, cut_after, strict=True):
        node.machine.stall_after(volume.disk, written_bytes=written_bytes)

    with _calls_cut_off(node, *(volume.stage for volume in volumes)):
        for volume, written_bytes in zip(volumes, cut_after, strict=True):
            _wait_for_writes(node, volume, written_bytes)
    if not grows_mounted_ext4:
        node.start_driver(grows_mounted_ext4=False)

    for volume in volumes:
        volume.bring()
        assert volume.size_bytes() > 7 * GIB
        assert volume.read_canary() == volume.id
        volume.leave()
        _assert_sound("ext4", volume.disk)


@contextmanager
def _calls_cut_off(node: Node, *calls: Callable[[], None]) -> Iterator[None]:
    """Make calls, of which none ends during the block; then the power fails and comes back."""
    with ThreadPoolExecutor(len(calls)) as kubelet:
        under_way = [kubelet.submit(call) for call in calls]
        try:
            yield
            assert not [call for call in under_way if call.done()]
        finally:
            node.stop()
        for call in under_way:
            assert isinstance(call.exception(), grpc.RpcError)
    node.start()


def _wait_for_writes(node: Node, volume: Volume, at_least_bytes: int) -> None:
    wait_until(
        lambda: node.machine.bytes_written_to(volume.disk) >= at_least_bytes,
        f"{at_least_bytes} bytes written to {volume.id}",
        explain=lambda: str(node.machine.bytes_written_to(volume.disk)),
    )


def _start_writer(node: Node, volume: Volume) -> None:
    script = _WRITER.format(target=volume.target, told=_told_file(volume))
    silent = "> /dev/null 2>&1 < /dev/null"
    node.machine.run("sh", "-c", f"setsid --fork sh -c '{script}' {silent}")


def _wait_for_records(node: Node, volume: Volume) -> int:
    """Return how many records are surely on the disk, once they are many."""

    def told() -> int:
        number = int(node.machine.run("sh", "-c", f"cat {_told_file(volume)} || echo 0") or 0)
        return number if number >= _RECORDS else 0

    return wait_until(told, f"records in {volume.id}")


def _told_file(volume: Volume) -> str:
    return f"/run/told-{volume.disk.uuid}"


def _assert_sound(filesystem: str, disk: Disk) -> None:
    """Have the file system's own tool find nothing wrong, without letting it write."""
    _run(*_CHECKS[filesystem], disk.file)


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
