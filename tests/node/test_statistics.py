"""S16: statistics neither hang nor lie; N7, D6: nor does whatever else reads a volume."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.node.conftest import FORMAT, MakeDisk, Volume, block_capability, mount_capability
from tests.node.disks import GIB, Disk, mounts_of
from tests.node.hanging import hanging
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused

pytestmark = pytest.mark.root

BYTES, INODES = csi_pb2.VolumeUsage.BYTES, csi_pb2.VolumeUsage.INODES
WORKERS = 16

MakeVolume = Callable[..., Volume]


@pytest.fixture
def make(make_volume: MakeVolume, make_disk: MakeDisk) -> Callable[[], Volume]:
    return lambda: make_volume(make_disk())


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_statistics_are_what_a_pod_sees(make: Callable[[], Volume], filesystem: str) -> None:
    volume = make()
    reserved = {"reservedBlocksPercent": "5"} if filesystem == "ext4" else {}
    volume.stage(filesystem, context={**FORMAT, **reserved})
    target = volume.publish(capability=mount_capability(filesystem))
    (target / "file").write_bytes(os.urandom(1024**2))
    os.sync()

    usage = volume.usage(target)
    seen = os.statvfs(target)

    assert usage[BYTES].total == seen.f_blocks * seen.f_frsize
    assert usage[BYTES].available == seen.f_bavail * seen.f_frsize
    assert usage[BYTES].used == (seen.f_blocks - seen.f_bfree) * seen.f_frsize
    if filesystem == "ext4":  # 5 % are kept from pods
        assert seen.f_bavail < seen.f_bfree
    if seen.f_files:
        assert usage[INODES].total == seen.f_files
        assert usage[INODES].available == seen.f_favail
        assert usage[INODES].used == seen.f_files - seen.f_ffree
    else:
        assert INODES not in usage


def test_a_raw_device_has_a_size_and_nothing_else(make: Callable[[], Volume]) -> None:
    volume = make()
    volume.stage_as(block_capability())
    target = volume.publish(capability=block_capability())

    (row,) = volume.usage(target).values()

    assert (row.unit, row.total, row.used, row.available) == (BYTES, GIB, 0, 0)


def test_what_kubelet_reads_every_minute_is_logged_only_if_it_fails(
    disk: Disk, start_node: Callable[..., DriverProcess], make_volume: MakeVolume
) -> None:  # F12
    driver = start_node("--time-scale", "20")  # nothing fails because the machine is busy
    volume = make_volume(disk, driver)
    volume.stage()

    volume.usage(volume.staging)
    volume.health(target=volume.staging)
    volume.node.NodeGetCapabilities(csi_pb2.NodeGetCapabilitiesRequest())
    with refused(grpc.StatusCode.NOT_FOUND, "nothing is mounted"):
        volume.usage(volume.staging / "elsewhere")

    lines = [json.loads(line) for line in driver.log.read_text().splitlines()]
    ended = [(line["rpc"], line["code"]) for line in lines if line["message"] == "call ended"]
    assert ended == [("NodeStageVolume", "OK"), ("NodeGetVolumeStats", "NOT_FOUND")]


def test_a_path_that_is_not_the_volumes_is_not_found(
    make: Callable[[], Volume], tmp_path: pathlib.Path
) -> None:
    volume, other = make(), make()
    volume.stage()
    other.stage()

    for path in (other.staging, tmp_path, tmp_path / "nothing", volume.staging / "lost+found"):
        with refused(grpc.StatusCode.NOT_FOUND, volume.disk.volume_id):
            volume.usage(path)
    assert volume.usage(volume.staging)[BYTES].total


def test_the_nodes_own_disk_is_never_described(make: Callable[[], Volume]) -> None:
    """S16: what a pod has is measured while it comes and goes."""
    volume = make()
    volume.stage()
    target = volume.publish()
    total = volume.usage(target)[BYTES].total
    seen: set[int] = set()
    ends = threading.Event()

    def measure() -> None:
        while not ends.is_set():
            with contextlib.suppress(grpc.RpcError):
                seen.add(volume.usage(target)[BYTES].total)

    with ThreadPoolExecutor() as kubelet:
        asking = [kubelet.submit(measure) for _ in range(2)]
        for _ in range(100):
            volume.unpublish()
            volume.publish()
        ends.set()
        for each in asking:
            each.result()

    assert seen == {total}


def test_a_file_system_that_hangs_holds_up_nobody_but_who_asks_about_it(
    make: Callable[[], Volume], driver: DriverProcess
) -> None:
    hung, healthy = make().asked_once(), make()
    healthy.stage()
    healthy.usage(healthy.staging)
    before = threads_of(driver)

    with hanging(hung.disk.path, hung.staging):
        codes = {outcome(lambda: hung.usage(hung.staging))[0] for _ in range(1000)}
        during = threads_of(driver)
        total = healthy.usage(healthy.staging)[BYTES].total

    assert codes == {"UNAVAILABLE"}
    assert during - before <= WORKERS
    assert total


def test_all_paths_of_a_volume_that_hangs_count_once(make: Callable[[], Volume]) -> None:
    hung, healthy = make().asked_once(), make()
    healthy.stage()
    targets = [hung.target(f"pod-{number}") for number in range(WORKERS + 1)]

    with hanging(hung.disk.path, hung.staging, *targets):
        codes = {outcome(partial(hung.usage, path))[0] for path in targets}
        ailing = {outcome(partial(hung.health, target=path))[0] for path in targets}
        seen = healthy.usage(healthy.staging)
        health = healthy.health(target=healthy.staging)

    assert codes == ailing == {"UNAVAILABLE"}
    assert seen[BYTES].total
    assert not health.health_statuses


def test_a_volume_that_hangs_is_neither_published_nor_unstaged(volume: Volume) -> None:
    """D6, D7: the calls end, and are worth a retry."""
    hung = volume.asked_once()

    with hanging(hung.disk.path, hung.staging):
        with refused(grpc.StatusCode.UNAVAILABLE, "doesn't answer"):
            hung.publish()
        with refused(grpc.StatusCode.UNAVAILABLE, "writing back", "doesn't answer"):
            hung.unstage()
        assert mounts_of(hung.disk.path) == [str(hung.staging)]

    hung.unstage()
    assert mounts_of(hung.disk.path) == []


def threads_of(driver: DriverProcess) -> int:
    return len(os.listdir(f"/proc/{driver.pid}/task"))
