"""NodeGetVolumeHealth says what ails a volume here, in words that kubelet can store (N7)."""

from __future__ import annotations

import pathlib
import re
import subprocess
import uuid

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.node.conftest import Tools, Volume, block_capability, mount_capability
from tests.node.disks import mounts_of, run
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

INACCESSIBLE, DEGRADED = csi_pb2.INACCESSIBLE, csi_pb2.DEGRADED
# Source: Kubernetes 1.37, validation of a pod's volumeHealth.
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")


def entries_of(
    volume: Volume, *, staging: pathlib.Path | None = None, target: pathlib.Path | None = None
) -> list[tuple[int, str, str]]:
    """Ask for the volume's health, and check what holds for every answer."""
    answer = volume.health(staging=staging, target=target)
    assert answer.volume_id == volume.disk.volume_id
    for entry in answer.health_statuses:
        assert REASON.fullmatch(entry.reason)
        assert volume.disk.volume_id in entry.message
        assert len(entry.message) <= 1024
    return [(each.status, each.reason, each.message) for each in answer.health_statuses]


def test_the_call_is_announced(driver: DriverProcess) -> None:
    stub = csi_pb2_grpc.NodeStub(driver.channel)

    answer = stub.NodeGetCapabilities(csi_pb2.NodeGetCapabilitiesRequest())

    announced = {each.rpc.type for each in answer.capabilities}
    assert csi_pb2.NodeServiceCapability.RPC.GET_VOLUME_HEALTH in announced


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_volume_that_works_has_no_entries(volume: Volume, filesystem: str) -> None:
    volume.stage(filesystem)
    target = volume.publish(capability=mount_capability(filesystem))

    assert entries_of(volume) == []
    assert entries_of(volume, staging=volume.staging) == []
    assert entries_of(volume, staging=volume.staging, target=target) == []


def test_read_only_as_asked_is_no_ailment(volume: Volume) -> None:
    volume.disk.format("ext4")
    volume.stage(flags=("ro",))

    assert entries_of(volume) == []


def test_a_raw_device_has_no_entries(volume: Volume) -> None:
    raw = block_capability()
    volume.stage_as(raw)
    target = volume.publish(capability=raw)

    assert entries_of(volume, target=target) == []


def test_a_raw_device_is_found_in_the_folder_that_kubelet_names(volume: Volume) -> None:  # N7
    raw = block_capability()
    volume.stage_as(raw)
    target = volume.publish(capability=raw)
    bound = volume.folder / "dev" / "uid of the pod"
    bound.parent.mkdir()
    bound.touch()
    run("mount", "--bind", str(target), str(bound))

    try:
        assert entries_of(volume, staging=bound.parent) == []
    finally:
        run("umount", str(bound))
    with refused(grpc.StatusCode.NOT_FOUND, "not mounted"):
        entries_of(volume, staging=bound.parent)


@pytest.mark.parametrize("filesystem", ["xfs", "ext4"])
def test_a_file_system_that_was_shut_down_is_inaccessible(volume: Volume, filesystem: str) -> None:
    volume.stage(filesystem)
    target = volume.publish(capability=mount_capability(filesystem))
    run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))

    for paths in ({}, {"target": target}, {"staging": volume.staging, "target": target}):
        ((status, reason, message),) = entries_of(volume, **paths)
        assert (status, reason) == (INACCESSIBLE, "FilesystemShutDown")
        assert "delete the pods" in message


def test_a_file_system_that_became_read_only_is_inaccessible(volume: Volume) -> None:
    volume.stage()
    target = volume.publish()
    run("mount", "-o", "remount,ro", str(volume.staging))

    ((status, reason, _),) = entries_of(volume, staging=volume.staging, target=target)

    assert (status, reason) == (INACCESSIBLE, "FilesystemReadOnly")


def test_a_disk_that_left_is_inaccessible(volume: Volume) -> None:
    volume.stage()
    volume.disk.link.unlink()

    ((status, reason, _),) = entries_of(volume, staging=volume.staging)

    assert (status, reason) == (INACCESSIBLE, "DeviceGone")


def test_counted_errors_are_degraded(volume: Volume) -> None:
    """An inode with a damaged extent tree is read: ext4 counts it, also for the next mount."""
    volume.disk.format("ext4", "-E", "lazy_itable_init=0")
    subprocess.run(
        ["debugfs", "-w", "-R", "set_inode_field <11> block[0] 0x41414141", str(volume.disk.path)],
        check=True,
        capture_output=True,
    )
    volume.stage(context={"fsck": "never"})
    subprocess.run(["ls", str(volume.staging / "lost+found")], check=False, capture_output=True)
    with refused(grpc.StatusCode.UNAVAILABLE, "can't be written to its disk"):  # D6: said once
        volume.unstage()
    volume.unstage()
    volume.stage(context={"fsck": "never"})

    ((status, reason, message),) = entries_of(volume)

    assert (status, reason) == (DEGRADED, "FilesystemErrors")
    assert "e2fsck" in message


def test_a_growth_that_failed_is_degraded_until_one_succeeds(volume: Volume, tools: Tools) -> None:
    volume.stage("xfs")
    volume.disk.grow(2)
    tools.replace("xfs_growfs", "echo out of order >&2; exit 1")
    with refused(grpc.StatusCode.UNAVAILABLE, "out of order"):
        volume.expand(volume.staging)

    ((status, reason, message),) = entries_of(volume, staging=volume.staging)
    (tools.folder / "xfs_growfs").unlink()
    volume.expand(volume.staging)

    assert (status, reason) == (DEGRADED, "GrowthFailed")
    assert "out of order" in message
    assert entries_of(volume, staging=volume.staging) == []


def test_a_path_that_shows_another_volume_or_none_is_not_the_volume(
    volume: Volume, driver: DriverProcess
) -> None:
    with refused(grpc.StatusCode.NOT_FOUND, "not mounted"):
        entries_of(volume, staging=volume.staging)
    stub = csi_pb2_grpc.NodeStub(driver.channel)
    for volume_id in (f"ch-gva-2/{uuid.uuid4()}", "nonsense"):
        with refused(grpc.StatusCode.NOT_FOUND):
            stub.NodeGetVolumeHealth(csi_pb2.NodeGetVolumeHealthRequest(volume_id=volume_id))
    assert mounts_of(volume.disk.path) == []
