"""S26: a disk that never answers holds up nobody who asks about another one."""

from __future__ import annotations

import pathlib
import uuid
from collections.abc import Callable, Iterator

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.node.conftest import MakeDisk, Volume, beside_hung_processes, block_capability
from tests.node.disks import GIB, IN_A_CONTAINER, Disk, link_name, run
from tests.node.requests import unpublish, unstage
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.grpc_errors import outcome, refused

pytestmark = pytest.mark.root

WORKERS = 32
DEADLINE_SECONDS = 60.0
SILENT = "vdz"

# The kernel's folder of block devices as the driver sees it: the real ones, and one whose serial is
# read from a FIFO that nobody writes.
WITH_A_SILENT_DISK = """
mount --make-rprivate /sys
mount -t tmpfs tmpfs $SEEN
cp -a /sys/class/block/. $SEEN || true  # another test's partition may go meanwhile
for link in $SEEN/*; do
  ln -sfn "$(readlink -f "/sys/class/block/${link##*/}")" "$link"
done
mkdir $SEEN/vdz
mkfifo $SEEN/vdz/serial
echo 253:0 > $SEEN/vdz/dev
mount --bind $SEEN /sys/class/block
exec "$@"
"""


@pytest.fixture
def hung_id(folder: pathlib.Path) -> Iterator[str]:
    """A volume whose disk udev has named, and which answers no more."""
    identity = uuid.uuid4()
    link = folder / "by-id" / link_name(str(identity))
    link.symlink_to("/dev/vdz")
    yield f"ch-gva-2/{identity}"
    link.unlink()


def test_a_disk_that_never_answers_holds_up_nobody_else(
    disk: Disk,
    make_volume: Callable[..., Volume],
    start_node: Callable[..., DriverProcess],
    hung_id: str,
    paths: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    endpoint = Endpoint()
    seen = tmp_path / "seen"
    seen.mkdir()
    driver = start_node(
        *endpoint.flags,
        wrapper=(*IN_A_CONTAINER, "sh", "-ec", WITH_A_SILENT_DISK, "sh"),
        SEEN=str(seen),
    )
    healthy = make_volume(disk, driver)
    healthy.stage_as(block_capability())
    node = csi_pb2_grpc.NodeStub(driver.channel)
    ask = csi_pb2.NodeGetVolumeHealthRequest(volume_id=hung_id)

    hung = [node.NodeGetVolumeHealth.future(ask) for _ in range(WORKERS)]
    target = healthy.publish(capability=block_capability(), seconds=DEADLINE_SECONDS)
    usage = healthy.usage(target)[csi_pb2.VolumeUsage.BYTES]
    info = node.NodeGetInfo(csi_pb2.NodeGetInfoRequest(), timeout=DEADLINE_SECONDS)
    statuses = {endpoint.get(path) for path in ("/livez", "/readyz", "/metrics")}
    codes = {outcome(each.result)[0] for each in hung}
    with refused(grpc.StatusCode.UNAVAILABLE, "doesn't answer"):  # D4: it is not absent
        node.NodeUnstageVolume(
            csi_pb2.NodeUnstageVolumeRequest(
                volume_id=hung_id, staging_target_path=str(paths / "nothing")
            )
        )
    healthy.unpublish()
    healthy.unstage()

    assert usage.total == GIB
    assert info.node_id
    assert statuses == {200}
    assert codes == {"UNAVAILABLE"}


# A loop device as a disk that has a serial and never tells it.
WITH_A_SILENT_STRANGER = """
mount --make-rprivate /sys
mount -t tmpfs tmpfs $SEEN
for each in /sys/class/block/*; do
  ln -s "$(readlink -f "$each")" "$SEEN/${each##*/}"
done
real=$(readlink "$SEEN/$STRANGER")
rm "$SEEN/$STRANGER"
mkdir -p "$SEEN/$STRANGER/queue"
cp "$real/dev" "$real/size" "$SEEN/$STRANGER"
cp "$real/queue/logical_block_size" "$SEEN/$STRANGER/queue"
mkfifo "$SEEN/$STRANGER/serial"
mount --bind $SEEN /sys/class/block
exec "$@"
"""

WITH_A_STRANGER_WITHOUT_SERIAL = WITH_A_SILENT_STRANGER.replace("mkfifo", "touch")


@pytest.fixture
def beside_a_stranger(
    make_disk: MakeDisk, start_node: Callable[..., DriverProcess], tmp_path: pathlib.Path
) -> tuple[Disk, csi_pb2_grpc.NodeStub]:
    """A disk that udev could not name, for it never answered, and a driver that sees it so."""
    stranger = make_disk()
    stranger.link.unlink()
    (tmp_path / "seen").mkdir()
    driver = start_node(
        wrapper=(*IN_A_CONTAINER, "sh", "-ec", WITH_A_SILENT_STRANGER, "sh"),
        SEEN=str(tmp_path / "seen"),
        STRANGER=stranger.path.name,
    )
    return stranger, csi_pb2_grpc.NodeStub(driver.channel)


def test_a_volume_that_is_gone_leaves_beside_a_stranger_that_hangs(
    beside_a_stranger: tuple[Disk, csi_pb2_grpc.NodeStub], paths: pathlib.Path
) -> None:
    _, node = beside_a_stranger
    gone = f"ch-gva-2/{uuid.uuid4()}"

    node.NodeUnpublishVolume(unpublish(gone, paths / "pod" / "mount"), timeout=DEADLINE_SECONDS)
    request = unstage(gone, paths / "nothing")
    beside_hung_processes(lambda: node.NodeUnstageVolume(request, timeout=DEADLINE_SECONDS))


def test_a_disk_that_may_be_the_volumes_own_and_is_in_use_keeps_it(
    beside_a_stranger: tuple[Disk, csi_pb2_grpc.NodeStub], paths: pathlib.Path
) -> None:  # D4
    stranger, node = beside_a_stranger
    request = unstage(f"ch-gva-2/{uuid.uuid4()}", paths / "nothing")

    with (
        stranger.path.open("rb"),
        refused(
            grpc.StatusCode.UNAVAILABLE, stranger.path.name, "might be its own", "is in use by"
        ),
    ):
        beside_hung_processes(lambda: node.NodeUnstageVolume(request, timeout=DEADLINE_SECONDS))


def test_a_disk_that_has_lost_its_serial_is_proven_free_if_it_was_mounted(
    make_disk: MakeDisk,
    start_node: Callable[..., DriverProcess],
    paths: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """D4: virtio shows an error as an empty serial, and a new driver remembers none."""
    disk, staging = make_disk(), paths / "globalmount"
    disk.link.unlink()
    disk.format("ext4", "-q")
    staging.mkdir()
    (tmp_path / "seen").mkdir()
    run("mount", str(disk.path), str(staging))
    driver = start_node(
        wrapper=(*IN_A_CONTAINER, "sh", "-ec", WITH_A_STRANGER_WITHOUT_SERIAL, "sh"),
        SEEN=str(tmp_path / "seen"),
        STRANGER=disk.path.name,
    )
    node = csi_pb2_grpc.NodeStub(driver.channel)
    request = unstage(disk.volume_id, staging)

    for _ in range(2):  # the driver unmounts it in a namespace of its own
        with refused(grpc.StatusCode.FAILED_PRECONDITION, disk.path.name, "still in use by"):
            node.NodeUnstageVolume(request, timeout=DEADLINE_SECONDS)
    run("umount", str(staging))

    node.NodeUnstageVolume(request, timeout=DEADLINE_SECONDS)
