"""F17, S28: what isn't the volume's is neither mounted over, nor unmounted, nor removed."""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import Callable, Iterator

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.node import requests
from tests.node.conftest import MakeDisk, Volume, block_capability, mount_capability
from tests.node.disks import GIB, Disk, mounts_of, run
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused

pytestmark = pytest.mark.root

RAW = block_capability()
UNKNOWN = "not-an-id"


@pytest.fixture(params=["tmpfs", "overlay", "the node's own disk"])
def occupy(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> Iterator[Callable[[pathlib.Path], None]]:
    """Mount something with a file in it at a path, for the length of the test."""
    taken: list[pathlib.Path] = []
    parts = [tmp_path / name for name in ("upper", "lower")]

    def mount(path: pathlib.Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        for part in parts:
            part.mkdir()
            (part / "file").touch()
        if request.param == "tmpfs":
            run("mount", "-t", "tmpfs", "none", str(path))
            (path / "file").touch()
        elif request.param == "overlay":
            layers = ":".join(map(str, parts))
            run("mount", "-t", "overlay", "none", "-o", f"lowerdir={layers}", str(path))
        else:
            run("mount", "--bind", str(parts[0]), str(path))
        taken.append(path)

    yield mount
    for path in taken:
        run("umount", str(path))


def filesystem_at(path: pathlib.Path) -> str:
    return run("findmnt", "--noheadings", "--output", "FSTYPE", "--mountpoint", str(path)).strip()


@pytest.mark.parametrize("capability", [RAW, mount_capability("ext4")], ids=["raw", "mount"])
def test_a_foreign_mount_at_a_target_stays(
    volume: Volume,
    occupy: Callable[[pathlib.Path], None],
    capability: csi_pb2.VolumeCapability,
) -> None:  # S28
    volume.stage_as(capability)
    before = mounts_of(volume.disk.path)
    target = volume.target()
    occupy(target)

    for _ in range(2):
        with refused(grpc.StatusCode.ALREADY_EXISTS, str(target), "by hand"):
            volume.publish(capability=capability)
        with refused(grpc.StatusCode.FAILED_PRECONDITION, str(target), "by hand"):
            volume.unpublish()

    assert (target / "file").exists()
    assert mounts_of(volume.disk.path) == before


def test_a_foreign_mount_at_a_staging_path_stays(
    volume: Volume, occupy: Callable[[pathlib.Path], None]
) -> None:  # S28
    occupy(volume.staging)

    with refused(grpc.StatusCode.ALREADY_EXISTS, str(volume.staging)):
        volume.stage()
    with refused(grpc.StatusCode.FAILED_PRECONDITION, str(volume.staging)):
        volume.unstage()

    assert (volume.staging / "file").exists()
    assert mounts_of(volume.disk.path) == []


def test_a_foreign_mount_over_a_volume_stays(volume: Volume) -> None:  # S28
    volume.stage()
    target = volume.publish()
    run("mount", "--make-private", str(target))  # else the tmpfs may cover the staging path too
    run("mount", "-t", "tmpfs", "none", str(target))
    try:
        with refused(grpc.StatusCode.ALREADY_EXISTS, "tmpfs"):
            volume.publish()
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "tmpfs"):
            volume.unpublish()
        assert filesystem_at(target).split() == ["ext4", "tmpfs"]
    finally:
        run("umount", str(target))

    volume.unpublish()
    volume.unstage()


def test_another_volume_at_a_path_stays(
    make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # S28
    volume, other = make_volume(make_disk()), make_volume(make_disk())
    volume.stage()
    other.stage()
    volume.target().mkdir(parents=True)
    run("mount", "--bind", str(other.staging), str(volume.target()))

    with refused(grpc.StatusCode.ALREADY_EXISTS, "by hand"):
        volume.publish()
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "by hand"):
        volume.unpublish()

    assert mounts_of(other.disk.path) == [str(other.staging), str(volume.target())]


@pytest.fixture
def node_of_a_pod(volume: Volume, paths: pathlib.Path) -> Iterator[pathlib.Path]:
    """A node of the volume's disk in a pod's memory, bound by kubelet because of a subPath."""
    memory, bound = paths / "memory", paths / "subpath"
    memory.mkdir()
    bound.touch()
    run("mount", "-t", "tmpfs", "none", str(memory))
    os.mknod(memory / "node", 0o600 | stat.S_IFBLK, volume.disk.path.stat().st_rdev)
    run("mount", "--bind", str(memory / "node"), str(bound))
    yield bound
    run("umount", str(bound))
    run("umount", str(memory))


@pytest.mark.parametrize("capability", [RAW, mount_capability("ext4")], ids=["raw", "mount"])
def test_a_node_that_a_pod_has_made_keeps_no_volume(
    volume: Volume, node_of_a_pod: pathlib.Path, capability: csi_pb2.VolumeCapability
) -> None:  # S28, S26: mknod is allowed in a pod, and so it could keep the disks of all others
    volume.stage_as(capability)
    volume.publish(capability=capability, readonly=True)
    volume.unpublish()
    volume.unstage()

    assert node_of_a_pod.is_block_device()


@pytest.mark.parametrize("capability", [RAW, mount_capability("ext4")], ids=["raw", "mount"])
def test_a_target_that_is_a_link_is_refused_before_anything_is_mounted(
    volume: Volume, tmp_path: pathlib.Path, capability: csi_pb2.VolumeCapability
) -> None:  # S28
    volume.stage_as(capability)
    before = mounts_of(volume.disk.path)
    elsewhere = tmp_path / "elsewhere"
    if capability == RAW:
        elsewhere.touch()
    else:
        elsewhere.mkdir()
    volume.target().parent.mkdir(parents=True)
    volume.target().symlink_to(elsewhere)

    for _ in range(2):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "symbolic link"):
            volume.publish(capability=capability)
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "remove it by hand"):
            volume.unpublish()

    assert mounts_of(volume.disk.path) == before
    assert volume.target().is_symlink()
    assert elsewhere.exists()


def test_a_staging_path_that_is_a_link_is_refused_before_anything_is_mounted(
    volume: Volume, tmp_path: pathlib.Path
) -> None:  # S28
    volume.staging.rmdir()
    volume.staging.symlink_to(tmp_path)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "symbolic link"):
        volume.stage()

    assert mounts_of(volume.disk.path) == []
    assert volume.disk.content() == {}
    volume.unstage()


@pytest.mark.parametrize("volume_id", [None, UNKNOWN])
def test_what_this_driver_did_not_make_is_not_removed(
    volume: Volume, volume_id: str | None
) -> None:  # F17
    target = volume.target()
    target.parent.mkdir(parents=True)

    def unpublish() -> None:
        volume.node.NodeUnpublishVolume(
            csi_pb2.NodeUnpublishVolumeRequest(
                volume_id=volume_id or volume.disk.volume_id, target_path=str(target)
            )
        )

    target.write_text("content")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "a file with content"):
        unpublish()
    assert target.read_text() == "content"
    target.unlink()
    os.mkfifo(target)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "no file or folder"):
        unpublish()
    target.unlink()
    (target / "folder").mkdir(parents=True)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "a folder with content", "by hand"):
        unpublish()
    (target / "folder").rmdir()
    target.rmdir()
    target.touch()
    unpublish()
    assert not target.exists()
    target.mkdir()
    unpublish()
    unpublish()
    assert not target.exists()


@pytest.mark.parametrize("volume_id", [None, UNKNOWN])
def test_nothing_outside_kubelets_folder_is_touched(
    volume: Volume, tmp_path: pathlib.Path, volume_id: str | None
) -> None:  # F17
    known = volume_id or volume.disk.volume_id
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = volume.folder / "link"
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.symlink_to(tmp_path)
    run("mount", "-t", "ext4", "-o", "loop", str(image(tmp_path)), str(outside))
    try:
        for path in (outside, inside / "outside", volume.folder.parents[1]):
            with refused(grpc.StatusCode.INVALID_ARGUMENT, "--kubelet-path"):
                volume.node.NodeUnpublishVolume(
                    csi_pb2.NodeUnpublishVolumeRequest(volume_id=known, target_path=str(path))
                )
            with refused(grpc.StatusCode.INVALID_ARGUMENT, "--kubelet-path"):
                volume.node.NodeUnstageVolume(
                    csi_pb2.NodeUnstageVolumeRequest(volume_id=known, staging_target_path=str(path))
                )
        assert filesystem_at(outside) == "ext4"
    finally:
        run("umount", str(outside))


def test_nothing_is_mounted_outside_kubelets_folder(
    volume: Volume, tmp_path: pathlib.Path
) -> None:  # F17: else it could never be unmounted again
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "--kubelet-path"):
        Volume(volume.disk, volume.node, tmp_path / "globalmount", tmp_path).stage()
    volume.stage()
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "--kubelet-path"):
        Volume(volume.disk, volume.node, volume.staging, tmp_path).publish()

    assert mounts_of(volume.disk.path) == [str(volume.staging)]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--zone", "ch-dk-2"), "this node is in zone ch-dk-2"),
        (("--kubelet-path", "/nowhere"), "--kubelet-path"),
    ],
)
def test_a_driver_that_takes_itself_for_another_leaves_no_staged_volume_mounted(
    volume: Volume, start_node: Callable[..., DriverProcess], flags: tuple[str, ...], says: str
) -> None:  # D5: after a final error kubelet would not unstage, and detach it mounted
    volume.stage()

    with refused(grpc.StatusCode.UNAVAILABLE, says, f"still mounted at {volume.staging}"):
        volume.served_by(start_node(*flags)).stage()

    volume.unstage()


def image(folder: pathlib.Path) -> pathlib.Path:
    """Return a file with a file system."""
    file = folder / "image"
    file.touch()
    os.truncate(file, 16 << 20)
    run("mkfs.ext4", "-q", str(file))
    return file


def test_an_id_with_another_zone_stages_nothing(volume: Volume) -> None:
    """D1, D2: the disk tells only the rest of the id; locks and notes would be another volume's."""
    volume.stage()
    id_ = f"de-fra-1/{volume.disk.volume_id.partition('/')[2]}"
    where, node = volume.staging, volume.node
    volume.target().parent.mkdir()

    stage = requests.stage(id_, where, mount_capability())
    elsewhere = requests.stage(id_, volume.folder / "elsewhere", mount_capability())

    with refused(grpc.StatusCode.UNAVAILABLE, f"still mounted at {where}"):  # D5
        node.NodeStageVolume(stage)
    for call in (
        lambda: node.NodeStageVolume(elsewhere),
        lambda: node.NodePublishVolume(
            requests.publish(id_, where, volume.target(), mount_capability())
        ),
        lambda: node.NodeExpandVolume(
            requests.expand(id_, where, where, mount_capability(), required=GIB)
        ),
    ):
        with refused(grpc.StatusCode.NOT_FOUND, "this node is in zone ch-gva-2"):
            call()
    assert mounts_of(volume.disk.path) == [str(where)]
    node.NodeUnstageVolume(requests.unstage(id_, where))  # what is there can leave

    assert mounts_of(volume.disk.path) == []
