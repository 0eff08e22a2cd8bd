"""D8, S26: what a check does on one disk is nothing that another volume, or memory, notices."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest

from tests.node.conftest import MakeDisk, Tools, Volume
from tests.node.disks import mounts_of, run
from tests.node.gates import Gate
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome, refused

pytestmark = pytest.mark.root

MakeVolume = Callable[..., Volume]
FLOOD_BYTES = 256 * 1024**2
# The memory of a node whose commands get three quarters of it: enough for e2fsck on a small disk.
FEW_BYTES = 48 * 1024**2


@pytest.fixture
def e2fsck(tools: Tools) -> Iterator[Tools]:
    yield tools
    (tools.folder / "e2fsck").unlink()


def to_be_checked(volume: Volume) -> Volume:
    volume.disk.format("ext4")
    volume.disk.want_a_check()
    return volume


def test_a_check_that_does_not_end_delays_no_other_volume(
    make_disk: MakeDisk, make_volume: MakeVolume, gate: Callable[[str], Gate], tools: Tools
) -> None:  # D8, D10, S26
    hostile, *others = (to_be_checked(make_volume(make_disk())) for _ in range(3))
    blank, clean = make_volume(make_disk()), make_volume(make_disk())
    clean.disk.format("ext4")
    check = gate("e2fsck")

    with ThreadPoolExecutor() as kubelet, check:
        call = kubelet.submit(outcome, hostile.stage)
        check.wait_until_begun()
        tools.watch("e2fsck")
        for volume in (blank, clean, *others):
            volume.stage()
        waits = outcome(hostile.unstage)
        check.open()

        assert waits[0] == "ABORTED"
        assert call.result() == ("OK", "")


def test_a_disk_that_is_being_formatted_delays_no_check(
    make_disk: MakeDisk, make_volume: MakeVolume, gate: Callable[[str], Gate]
) -> None:  # D8
    blank, checked = make_volume(make_disk()), to_be_checked(make_volume(make_disk()))
    mkfs = gate("mkfs.ext4")

    with ThreadPoolExecutor() as kubelet, mkfs:
        call = kubelet.submit(outcome, blank.stage)
        mkfs.wait_until_begun()
        checked.stage()
        mkfs.open()

        assert call.result() == ("OK", "")


def test_a_check_that_says_far_too_much_fills_no_memory(
    volume: Volume, e2fsck: Tools, driver: DriverProcess, tmp_path: pathlib.Path
) -> None:  # D8
    """Its output lies in memory, which is the driver's as long as it has the file open."""
    held = tmp_path / "held"
    e2fsck.replace(
        "e2fsck",
        "echo Entry is invalid.\n"
        f"head -c {FLOOD_BYTES} /dev/zero 2>/dev/null\n"
        f"stat --dereference --format %s /proc/self/fd/1 > {held}\n"
        "exit 4",
    )

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "e2fsck left errors"):
        to_be_checked(volume).stage()

    assert int(held.read_text()) <= 1024**2


def test_a_check_leaves_processor_and_disks_to_others(
    volume: Volume, e2fsck: Tools, tmp_path: pathlib.Path
) -> None:  # D8
    seen = tmp_path / "seen"
    e2fsck.replace("e2fsck", f"{{ nice; ionice; }} > {seen}")

    to_be_checked(volume).stage()

    niceness, disks = seen.read_text().splitlines()
    assert int(niceness) > os.getpriority(os.PRIO_PROCESS, 0)
    assert disks == "best-effort: prio 7"


def test_a_disk_that_is_checked_keeps_its_number_from_every_other_one(
    volume: Volume, make_disk: MakeDisk, gate: Callable[[str], Gate], sector_bytes: int
) -> None:  # D2
    """The disk is pulled out while e2fsck is at work: it, and mount, must not find another one."""
    other, device = make_disk(), volume.disk.path
    to_be_checked(volume)
    check = gate("e2fsck")
    take = ("losetup", f"--sector-size={sector_bytes}", str(device), str(other.file))

    with ThreadPoolExecutor() as kubelet, check:
        call = kubelet.submit(outcome, volume.stage)
        check.wait_until_begun()
        run("losetup", "--detach", str(device))
        taken = subprocess.run(take, capture_output=True, check=False).returncode
        check.open()
        ended = call.result()

    assert taken != 0, "another disk has got the number"
    assert ended[0] in ("OK", "UNAVAILABLE")  # the disk is gone once nobody has it open


@pytest.mark.parametrize("behaviour", ["panic", "continue"])
def test_an_error_never_stops_the_host_nor_is_it_written_over(
    volume: Volume, behaviour: str
) -> None:  # D7
    volume.disk.format("ext4", "-e", behaviour)

    volume.stage()

    (line,) = (
        each
        for each in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        if each.split()[4] == str(volume.staging)
    )
    assert "errors=remount-ro" in line.split()[-1].split(",")
    assert partial(outcome, volume.unstage)() == ("OK", "")


def test_a_check_that_needs_too_much_memory_ends_alone(
    make_disk: MakeDisk, make_volume: MakeVolume, start_node: Callable[..., DriverProcess]
) -> None:  # D8, S26
    """Kubernetes ends all processes of a container that is over its limit, so it must not be."""
    node = start_node("--memory-limit", str(FEW_BYTES))
    hungry = make_volume(make_disk(gib=512), node)
    hungry.disk.format("ext4", "-i", "4096", "-E", "lazy_itable_init=1,nodiscard")
    hungry.disk.want_a_check()
    modest = to_be_checked(make_volume(make_disk(), node))

    with refused(
        grpc.StatusCode.UNAVAILABLE, "Memory allocation failed", "node.resources.limits.memory"
    ):
        hungry.stage()

    assert mounts_of(hungry.disk.path) == []
    modest.stage()
