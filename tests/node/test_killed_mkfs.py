"""D10: mkfs or its driver dies at any write to the disk, and the next stage mends it unaided."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from csi_exoblock.pb import csi_pb2_grpc
from tests.node.conftest import MakeDisk, Table, Tools, Volume
from tests.node.disks import Disk
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.root,
    pytest.mark.timeout(600),
]  # 20 disks, each mkfs under strace

POINTS = 20
# Of as many mkfs at once, on a busy machine.
TRACED_SECONDS = 300.0
# These find errors, but write nothing.
CHECKS = {
    "ext4": ("e2fsck", "-f", "-n"),
    "xfs": ("xfs_repair", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
}
WRITE = "pwrite64"
# strace counts the writes, and sends the signal when one begins.
SCRIPT = """
for device; do :; done
plan={folder}/$(basename $device)
mv $plan $plan.used || exec {mkfs} "$@"
echo $$ > $plan.pid
exec strace -f -qq -o $plan.trace -P $device -e {write} -e inject={write}:$(cat $plan.used) \\
  {mkfs} "$@"
"""

MakeVolume = Callable[..., Volume]


class Interruptions:
    """When mkfs gets a signal, once for each disk."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._disks: list[Disk] = []

    def script(self, mkfs: str) -> str:
        """Return what to run in place of mkfs."""
        return SCRIPT.format(folder=self._folder, mkfs=shutil.which(mkfs), write=WRITE)

    def plan(self, disk: Disk, *, signal: str, write: int) -> None:
        """Send mkfs a signal at a write, counted from 1."""
        self._disks.append(disk)
        (self._folder / disk.path.name).write_text(f"signal={signal}:when={write}")

    def plan_again(self, disk: Disk) -> None:
        """Begin a new plan for what the killed mkfs did not reach."""
        plan = self._folder / disk.path.name
        plan.with_suffix(".used").rename(plan)

    def writes(self, disk: Disk) -> int:
        """Count the writes of a mkfs, of its busiest thread if it has several, as strace does."""
        begun = [line.split()[0] for line in self._trace(disk).splitlines() if f" {WRITE}(" in line]
        return max(Counter(begun).values())

    def wait_until_stopped(self, disk: Disk) -> None:
        """Return when mkfs has got its signal, which stopped it."""
        stopped = "stopped by SIGSTOP"
        wait_until(
            lambda: stopped in self._trace(disk), f"{disk.path} to stop", seconds=TRACED_SECONDS
        )

    def send(self, disk: Disk, number: signal.Signals) -> None:
        """Send mkfs, if it was interrupted, another signal."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.killpg(int((self._folder / f"{disk.path.name}.pid").read_text()), number)

    def leave_nothing(self) -> None:
        """Kill every mkfs that a test left behind."""
        for disk in self._disks:
            self.send(disk, signal.SIGKILL)

    def _trace(self, disk: Disk) -> str:
        file = self._folder / f"{disk.path.name}.trace"
        return file.read_text() if file.exists() else ""


@pytest.fixture(params=CHECKS)
def filesystem(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def interruptions(tools: Tools, tmp_path: pathlib.Path, filesystem: str) -> Iterator[Interruptions]:
    folder = tmp_path / "plans"
    folder.mkdir()
    made = Interruptions(folder)
    tools.replace(f"mkfs.{filesystem}", made.script(f"mkfs.{filesystem}"))
    yield made
    tools.watch(f"mkfs.{filesystem}")
    made.leave_nothing()


@pytest.fixture
def start(start_node: Callable[..., DriverProcess]) -> Callable[[], DriverProcess]:
    """Start a driver as patient as on a cluster's node, that makes all file systems at once."""
    return lambda: start_node("--time-scale", "1", "--max-concurrent-format", str(POINTS))


@pytest.fixture
def first_driver(start: Callable[[], DriverProcess]) -> DriverProcess:
    return start()


@pytest.fixture
def volumes(
    make_disk: MakeDisk, make_volume: MakeVolume, first_driver: DriverProcess
) -> list[Volume]:
    return [make_volume(make_disk(), first_driver) for _ in range(POINTS)]


@pytest.fixture
def points(
    make_disk: MakeDisk,
    make_volume: MakeVolume,
    first_driver: DriverProcess,
    interruptions: Interruptions,
    filesystem: str,
) -> list[int]:
    """Choose among all writes of a mkfs that nobody interrupts."""
    volume = make_volume(make_disk(), first_driver)
    interruptions.plan(volume.disk, signal="KILL", write=65535)
    volume.stage(filesystem)
    writes = interruptions.writes(volume.disk)
    return sorted(random.Random(filesystem).sample(range(1, writes), POINTS))


def test_mkfs_that_was_killed_is_begun_again(
    volumes: list[Volume],
    points: list[int],
    interruptions: Interruptions,
    filesystem: str,
    table: Table,
) -> None:
    for volume, point in zip(volumes, points, strict=True):
        interruptions.plan(volume.disk, signal="KILL", write=point)

    with ThreadPoolExecutor(POINTS) as kubelet:
        stage = partial(stage_once_begun, filesystem=filesystem, interruptions=interruptions)
        first = list(kubelet.map(stage, volumes))

    killed = ("UNAVAILABLE", "was killed by SIGKILL")
    assert [each for each in first if each[0] != killed[0] or killed[1] not in each[1]] == []
    cases = [f"{filesystem}, mkfs killed at write {point}" for point in points]
    expect_all_sound(volumes, cases, filesystem, table)


# Where mkfs goes on it doesn't matter much when its driver died; late enough that only one of its
# threads still writes, for each has its own count.
@pytest.mark.parametrize(
    ("number", "chosen"),
    [(signal.SIGKILL, slice(None)), (signal.SIGCONT, slice(5, None, 5))],
    ids=["killed", "goes-on"],
)
def test_mkfs_whose_driver_was_killed_is_begun_again_or_ends(
    volumes: list[Volume],
    points: list[int],
    interruptions: Interruptions,
    filesystem: str,
    first_driver: DriverProcess,
    start: Callable[[], DriverProcess],
    number: signal.Signals,
    chosen: slice,
    tools: Tools,
    table: Table,
) -> None:
    """A container's end kills both; a driver of its own leaves its mkfs behind."""
    volumes, points = volumes[chosen], points[chosen]
    for volume, point in zip(volumes, points, strict=True):
        interruptions.plan(volume.disk, signal="STOP", write=point)

    with ThreadPoolExecutor(POINTS) as kubelet:
        stage = partial(stage_once_begun, filesystem=filesystem, interruptions=interruptions)
        calls = [kubelet.submit(stage, each) for each in volumes]
        try:
            for volume in volumes:
                interruptions.wait_until_stopped(volume.disk)
        finally:
            first_driver.kill()  # in any case, for until then its calls are waited for
        assert "OK" not in {call.result()[0] for call in calls}
    node = csi_pb2_grpc.NodeStub(start().channel)
    volumes = [replace(each, node=node) for each in volumes]
    while_stopped = [outcome(partial(each.stage, filesystem)) for each in volumes]
    begun = tools.count(f"mkfs.{filesystem}")
    for volume in volumes:
        interruptions.send(volume.disk, number)

    assert {code for code, _ in while_stopped} == {"ABORTED"}
    assert all("not interrupted" in message for _, message in while_stopped)
    end = "killed too" if number is signal.SIGKILL else "goes on"
    cases = [f"{filesystem}, driver killed at write {point}, mkfs {end}" for point in points]
    expect_all_sound(volumes, cases, filesystem, table)
    if number is signal.SIGCONT:
        assert tools.count(f"mkfs.{filesystem}") == begun


def stage_once_begun(
    volume: Volume, *, filesystem: str, interruptions: Interruptions
) -> tuple[str, str]:
    """Stage a volume, again if its disk was busy before mkfs began to write.

    Other tests' drivers check for a moment whether a device is in use that had this number before.
    """
    while True:
        ended = outcome(partial(volume.stage, filesystem))
        if "resource busy" in ended[1]:
            interruptions.plan_again(volume.disk)
        elif not (ended[0] == "ABORTED" and "is in use" in ended[1]):
            return ended


def expect_all_sound(
    volumes: list[Volume], cases: list[str], filesystem: str, table: Table
) -> None:
    """Expect the next stage to work, and to leave a file system without a fault."""
    seen = [_stage_and_check(volume, filesystem) for volume in volumes]
    for case, each in zip(cases, seen, strict=True):
        table.add(case, expected="OK, sound", seen=each)

    assert set(seen) == {"OK, sound"}


def _stage_and_check(volume: Volume, filesystem: str) -> str:
    ended = wait_until(
        lambda: _unless_under_way(volume, filesystem), "the end of mkfs", seconds=TRACED_SECONDS
    )
    if ended[0] != "OK":
        return ": ".join(ended)
    (volume.staging / "canary").write_text("mine")
    volume.unstage()
    check = subprocess.run([*CHECKS[filesystem], volume.disk.path], capture_output=True, text=True)
    return "OK, sound" if check.returncode == 0 else f"OK, {check.stdout}{check.stderr}"


def _unless_under_way(volume: Volume, filesystem: str) -> tuple[str, str] | None:
    ended = outcome(partial(volume.stage, filesystem))
    return None if ended[0] == "ABORTED" else ended
