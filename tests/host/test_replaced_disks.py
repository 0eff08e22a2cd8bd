"""D2: what was proven before a wait proves nothing after it, on a real loop device."""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, OperationPending
from csi_exoblock.host.checking import Checker
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.jobs import Jobs, Kind
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Filesystem, VolumeId
from csi_exoblock.timing import Timing
from tests.node.disks import Disk, attached_disk, run
from tests.support.asking import LONG_SECONDS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

MORE_THAN_ARE_CHECKED_AT_ONCE = 16


@pytest.fixture
def disks(tmp_path: pathlib.Path) -> Iterator[tuple[Disk, Disk]]:
    links = tmp_path / "by-id"
    links.mkdir()
    with attached_disk(tmp_path, links) as first, attached_disk(tmp_path, links) as second:
        yield first, second


def test_a_disk_that_was_replaced_while_its_check_waited_is_not_touched(
    disks: tuple[Disk, Disk], tmp_path: pathlib.Path
) -> None:
    disk, intruder = disks
    for each in disks:
        each.format("ext4")
        each.want_a_check()
    before = intruder.content()
    metrics, timing = Metrics(CollectorRegistry()), Timing()
    devices = Devices(link_dir=tmp_path / "by-id", timing=timing, metrics=metrics)
    jobs, deadline = Jobs(max_formats=1, timing=timing), Deadline(LONG_SECONDS)
    checker = Checker(
        commands=Commands(timing=timing, metrics=metrics),
        jobs=jobs,
        devices=devices,
        disk_calls=DiskCalls(patience_seconds=LONG_SECONDS),
    )
    volume_id = VolumeId.parse(disk.volume_id)
    device, leave = devices.present(volume_id.uuid), threading.Event()

    with ThreadPoolExecutor(MORE_THAN_ARE_CHECKED_AT_ONCE + 1) as calls:
        for number in range(MORE_THAN_ARE_CHECKED_AT_ONCE):
            calls.submit(jobs.run, f"{number}", "a check", leave.wait, deadline, kind=Kind.CHECK)
        for number in range(MORE_THAN_ARE_CHECKED_AT_ONCE):
            wait_until(partial(_is_under_way, jobs, f"{number}"), "a check")
        waiting = calls.submit(checker.check, volume_id, device, Filesystem.EXT4, deadline)
        wait_until(partial(_is_under_way, jobs, f"volume {volume_id}"), "the check that waits")
        attach = f"losetup --sector-size=4096 {disk.path} {intruder.file}"
        # Alone with the free devices: another test's disk could take this one.
        swap = f"losetup --detach {disk.path} && {attach}"
        run("flock", "/dev/loop-control", "sh", "-c", swap)
        leave.set()

        with pytest.raises(HostError, match="was replaced meanwhile"):
            waiting.result()

    run("losetup", "--detach", str(disk.path))
    assert intruder.content() == before


def _is_under_way(jobs: Jobs, volume: str) -> bool:
    with contextlib.suppress(OperationPending):
        jobs.check(volume)
        return False
    return True
