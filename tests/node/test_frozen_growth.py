"""D13: a growth that hangs on a file system left frozen keeps neither its mount nor its disk."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.node import requests
from tests.node.conftest import MakeDisk, Tools, Volume, mount_capability
from tests.node.disks import Disk, kept_in_another_namespace, mounts_of, run
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

filesystems = pytest.mark.parametrize("filesystem", ["btrfs", "xfs", "ext4"])

# Here the kernel won't grow a mounted ext4. Where it does, resize2fs waits where this one waits: it
# has the mount open and wants to write.
RESIZE2FS = """
if ! grep -q "^$1 " /proc/mounts; then PATH=/usr/sbin:/sbin exec resize2fs "$@"; fi
cd "$(findmnt --first-only --noheadings --output TARGET "$1")" && touch grown
echo "resize2fs: Permission denied to resize filesystem" >&2
exit 1
"""


@pytest.fixture(autouse=True)
def _resize2fs(tools: Tools, volume: Volume) -> Iterator[None]:
    tools.replace("resize2fs", RESIZE2FS)
    yield
    tools.watch("resize2fs")
    if mounts_of(volume.disk.path):
        subprocess.run(["fsfreeze", "--unfreeze", volume.staging], check=False, capture_output=True)


def hang_growing(volume: Volume, filesystem: str) -> None:
    """Publish a volume, and have its growth hang on the file system that somebody froze."""
    volume.stage(filesystem)
    target = volume.publish(capability=mount_capability(filesystem))
    (target / "canary").write_text("mine")
    volume.disk.grow(2)
    run("fsfreeze", "--freeze", str(volume.staging))
    grows = volume.node.NodeExpandVolume.future(
        requests.expand(
            *(volume.disk.volume_id, target, volume.staging, mount_capability(filesystem)),
            required=volume.disk.file.stat().st_size,
        )
    )
    wait_until(lambda: hangs_on(volume.staging), "the growth to hang")
    assert not grows.done()
    grows.cancel()


def hangs_on(mounted: pathlib.Path) -> bool:
    """Return whether a command on a mounted file system waits where no signal reaches it."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if (process / "stat").read_text().rpartition(")")[2].split()[0] != "D":
                continue
            arguments = (process / "cmdline").read_text(errors="replace").split("\0")
            if str(mounted) in (*arguments, os.readlink(process / "cwd")):
                return True
    return False


def repeated(call: Callable[[], None]) -> tuple[str, str]:
    """Make a call as kubelet does, which asks again while work is under way."""

    def ended() -> tuple[str, str] | None:
        answer = outcome(call)
        return None if answer[0] == "ABORTED" else answer

    return wait_until(ended, "no work to be under way")


@pytest.fixture(params=["private", "shared"])
def _propagation(request: pytest.FixtureRequest, paths: pathlib.Path) -> Iterator[None]:
    """Have the volume's mounts propagate, or not, whatever the root of this host does."""
    run("mount", "--bind", str(paths), str(paths))
    run("mount", f"--make-{request.param}", str(paths))
    yield
    run("umount", "--lazy", str(paths))


@filesystems
@pytest.mark.usefixtures("_propagation")
def test_a_volume_whose_growth_hangs_is_unstaged_and_staged_again(
    volume: Volume, filesystem: str
) -> None:
    hang_growing(volume, filesystem)
    assert repeated(volume.unpublish) == ("OK", "")

    # A container that has begun just then has a copy of a private mount for a moment.
    wait_until(lambda: outcome(volume.unstage)[0] == "OK", "the volume to leave")

    assert mounts_of(volume.disk.path) == []
    volume.stage(filesystem)
    assert (volume.staging / "canary").read_text() == "mine"
    (volume.staging / "file").write_text("works")


def test_another_volume_that_somebody_mounted_there_stays_frozen(
    volume: Volume, make_disk: MakeDisk, make_volume: Callable[[Disk], Volume]
) -> None:  # S28: it was frozen for a reason, such as a snapshot
    hang_growing(volume, "ext4")
    assert repeated(volume.unpublish) == ("OK", "")
    other = make_volume(make_disk())
    run("mount", "--bind", str(volume.staging), str(other.staging))

    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, str(other.staging), "by hand"):
            other.unstage()
        assert hangs_on(volume.staging)
    finally:
        run("umount", str(other.staging))

    wait_until(lambda: outcome(volume.unstage)[0] == "OK", "the volume to leave")


@filesystems
def test_a_growth_that_an_earlier_driver_began_keeps_nothing_either(
    volume: Volume, start_node: Callable[..., DriverProcess], filesystem: str
) -> None:
    earlier = start_node()
    hang_growing(volume.served_by(earlier), filesystem)
    earlier.kill()
    assert repeated(volume.unpublish) == ("OK", "")

    assert repeated(volume.unstage) == ("OK", "")

    volume.stage(filesystem)
    assert (volume.staging / "canary").read_text() == "mine"


def test_a_freezer_at_work_beside_a_growth_is_left_alone(volume: Volume) -> None:
    hang_growing(volume, "xfs")
    assert repeated(volume.unpublish) == ("OK", "")
    freezer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=volume.staging)
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "frozen", f"pid {freezer.pid} ("):
            volume.unstage()
        run("fsfreeze", "--unfreeze", str(volume.staging))  # it wasn't thawed: twice would fail
    finally:
        freezer.communicate()

    assert repeated(volume.unstage) == ("OK", "")


def test_who_reads_the_disk_beside_a_growth_is_left_alone(volume: Volume) -> None:
    """A backup may copy the frozen disk itself."""
    hang_growing(volume, "btrfs")
    assert repeated(volume.unpublish) == ("OK", "")
    reader = os.open(volume.disk.path, os.O_RDONLY)
    try:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "frozen", f"pid {os.getpid()} ("):
            volume.unstage()
        run("fsfreeze", "--unfreeze", str(volume.staging))
    finally:
        os.close(reader)

    assert repeated(volume.unstage) == ("OK", "")


def test_who_has_it_mounted_elsewhere_beside_a_growth_is_left_alone(volume: Volume) -> None:
    hang_growing(volume, "btrfs")
    assert repeated(volume.unpublish) == ("OK", "")
    with kept_in_another_namespace(volume.disk.path) as keeper:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "frozen", f"pid {keeper.pid} ("):
            volume.unstage()
        run("fsfreeze", "--unfreeze", str(volume.staging))

    assert repeated(volume.unstage) == ("OK", "")


def test_a_file_system_grows_through_its_staging_mount(volume: Volume, tools: Tools) -> None:
    """So no target is kept busy: thawing what other pods have is not for the driver."""
    tools.watch("xfs_growfs")
    volume.stage("xfs")
    volume.publish(capability=mount_capability("xfs"))
    volume.disk.grow(2)

    volume.expand(capability=mount_capability("xfs"))

    assert tools.runs("xfs_growfs") == [f"xfs_growfs {volume.staging}"]
