"""D7: a file system that is dead or read-only is repaired, or else not handed to a pod."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import grpc
import pytest

from tests.node.conftest import Tools, Volume, mount_capability
from tests.node.disks import mounts_of, run
from tests.node.gates import Gate
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root


def make_read_only(volume: Volume) -> None:
    run("mount", "-o", "remount,ro", str(volume.staging))


def shut_down(volume: Volume) -> None:
    run("xfs_io", "-x", "-c", "shutdown", str(volume.staging))


DEATHS = {
    "ext4 remounted read-only": ("ext4", make_read_only),
    "ext4 shut down": ("ext4", shut_down),
    "xfs shut down": ("xfs", shut_down),
    "btrfs remounted read-only": ("btrfs", make_read_only),
}
deaths = pytest.mark.parametrize(("filesystem", "die"), DEATHS.values(), ids=DEATHS)


@deaths
def test_a_dead_file_system_that_no_pod_has_is_repaired_when_it_is_published(
    volume: Volume, filesystem: str, die: Callable[[Volume], None]
) -> None:
    volume.stage(filesystem)
    (volume.staging / "canary").write_text("mine")
    run("sync", "--file-system", str(volume.staging))
    die(volume)

    target = volume.publish(capability=mount_capability(filesystem))

    assert (target / "canary").read_text() == "mine"
    (target / "file").write_text("works again")
    assert sorted(mounts_of(volume.disk.path)) == sorted([str(volume.staging), str(target)])


@deaths
def test_a_dead_file_system_that_a_pod_has_is_not_handed_to_another(
    volume: Volume, filesystem: str, die: Callable[[Volume], None]
) -> None:
    volume.stage(filesystem)
    first = volume.publish("first", capability=mount_capability(filesystem))
    die(volume)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, str(first), volume.disk.volume_id):
        volume.publish("second", capability=mount_capability(filesystem))
    assert not volume.target("second").exists()
    volume.unpublish("first")
    volume.publish("second", capability=mount_capability(filesystem))

    (volume.target("second") / "file").write_text("works again")


def test_a_file_system_that_can_t_be_repaired_is_not_handed_out(
    volume: Volume, tools: Tools
) -> None:
    volume.stage()
    make_read_only(volume)
    volume.disk.want_a_check()
    tools.replace("e2fsck", "echo UNEXPECTED INCONSISTENCY; exit 4")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "UNEXPECTED INCONSISTENCY", "e2fsck -f"):
        volume.publish()

    (tools.folder / "e2fsck").unlink()
    assert mounts_of(volume.disk.path) == []


def test_a_repair_that_outlasts_its_call_is_finished_by_the_retry(
    volume: Volume, tools: Tools, gate: Callable[[str], Gate]
) -> None:
    """D10: kubelet has staged the volume, and won't do so again before its pods have gone."""
    volume.stage()
    make_read_only(volume)
    volume.disk.want_a_check()
    check = gate("e2fsck")

    check.outlast(lambda: volume.publish(seconds=1.0))
    wait_until(lambda: "not interrupted" in outcome(volume.publish)[1], "the end of the call")
    check.open()
    wait_until(lambda: outcome(volume.publish)[0] != "ABORTED", "the end of e2fsck")
    target = volume.publish()

    (tools.folder / "e2fsck").unlink()
    (target / "file").write_text("works again")


def test_a_repair_that_failed_is_tried_again_until_the_volume_leaves(
    volume: Volume, tools: Tools
) -> None:
    volume.stage()
    make_read_only(volume)
    volume.disk.want_a_check()
    tools.replace("e2fsck", "echo INCONSISTENCY; exit 4")

    for _ in range(2):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "INCONSISTENCY"):
            volume.publish()
    (tools.folder / "e2fsck").unlink()
    volume.unstage()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "not staged"):
        volume.publish()
    assert mounts_of(volume.disk.path) == []


@pytest.mark.parametrize("restarts", [False, True], ids=["", "driver restarts"])
def test_a_repair_goes_on_with_a_disk_that_comes_back_under_another_number(
    volume: Volume, tools: Tools, start_node: Callable[..., DriverProcess], restarts: bool
) -> None:  # kubelet takes the volume for staged, and only publishes
    volume.stage("xfs")
    (volume.staging / "canary").write_text("mine")
    run("sync", "--file-system", str(volume.staging))
    shut_down(volume)
    tools.replace("mount", "echo the disk fails >&2; exit 32")
    with refused(grpc.StatusCode.UNAVAILABLE, "the disk fails"):
        volume.publish(capability=mount_capability("xfs"))
    assert mounts_of(volume.disk.path) == []

    (tools.folder / "mount").unlink()
    volume.disk.come_back()
    served = volume.served_by(start_node()) if restarts else volume
    target = served.publish(capability=mount_capability("xfs"))

    assert (target / "canary").read_text() == "mine"
    assert sorted(mounts_of(volume.disk.path)) == sorted([str(volume.staging), str(target)])


def test_a_pod_that_only_reads_may_have_what_is_read_only(volume: Volume) -> None:
    volume.disk.format("ext4")
    volume.stage(flags=("ro",))

    target = volume.publish(capability=mount_capability("ext4", flags=("ro",)))

    with pytest.raises(OSError, match="Read-only"):
        (target / "file").write_text("no")


@pytest.mark.parametrize(
    "note", [b"nonsense", b"no:number /path", b"253: ", b"\xff\xfe\x00", b"7:0", b""]
)
def test_a_damaged_note_of_a_repair_says_nothing(
    volume: Volume, folder: pathlib.Path, note: bytes
) -> None:  # D7: it is of a repair that never began, or of one that a reboot has ended
    volume.stage()
    notes = folder / "kubelet" / "plugins" / "exoblock.csi.exoscale.com" / "repairing"
    notes.mkdir(exist_ok=True)
    path = notes / volume.disk.volume_id.replace("/", ".")
    path.write_bytes(note)

    target = volume.publish()
    (target / "file").write_text("works")
    volume.unpublish()
    volume.unstage()

    assert not path.exists()
