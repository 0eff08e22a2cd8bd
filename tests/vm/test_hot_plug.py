"""The cloud says that a volume is attached before its disk is there (S6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc

from tests.support.grpc_errors import refused
from tests.vm.conftest import MakeVolume
from tests.vm.node import Node


def test_a_disk_that_comes_late_is_waited_for(node: Node, make_volume: MakeVolume) -> None:
    """S6: the disk is plugged in while NodeStageVolume looks for it."""
    volume = make_volume(attached=False)

    with ThreadPoolExecutor() as kubelet:
        staged = kubelet.submit(volume.stage)
        node.wait_until_at("finding the device", volume.id)
        volume.attach()
        staged.result()

    assert volume.mounts() == [volume.staging]


def test_a_disk_that_never_comes_is_reported_with_those_that_are_there(
    make_volume: MakeVolume,
) -> None:
    """S6: the error can be retried, and then the disk is found."""
    absent, other = make_volume(attached=False), make_volume()

    with refused(grpc.StatusCode.UNAVAILABLE, str(absent.disk.uuid), other.disk.serial):
        absent.stage()

    assert absent.mounts() == []
    absent.attach()
    absent.stage()
    assert absent.mounts() == [absent.staging]


def test_a_disk_that_the_kernel_missed_is_found_by_a_scan_of_the_bus(
    node: Node, make_volume: MakeVolume
) -> None:
    """S6: it sits in its slot, but no event ever told of it."""
    volume = make_volume()
    node.machine.wait_for_path(volume.disk.link)
    block = volume.device().removeprefix("/dev/")
    node.machine.run("sh", "-c", f"echo 1 > /sys/class/block/{block}/device/../remove")
    assert not node.machine.succeeds("test", "-e", f"/sys/class/block/{block}")

    volume.stage()

    assert volume.mounts() == [volume.staging]
