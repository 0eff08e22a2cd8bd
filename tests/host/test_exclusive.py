"""D1, D2: a disk is read itself, not its cache, alone, and only if it is the one that is meant."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.errors import HostError, OperationPending
from csi_exoblock.host.block_devices import BlockDevice, DeviceNumber
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.exclusive import alone_with, holding, is_in_use, read_direct
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing
from tests.node.disks import GIB, Disk, attached_disk

pytestmark = pytest.mark.root

PAGE_BYTES = 4096


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Iterator[Disk]:
    with attached_disk(tmp_path, tmp_path, gib=1, sector_bytes=PAGE_BYTES) as attached:
        yield attached


@pytest.fixture
def device(disk: Disk) -> BlockDevice:
    number = DeviceNumber.of(disk.path.stat().st_rdev)
    return BlockDevice(path=disk.path, number=number, size_bytes=GIB, sector_bytes=PAGE_BYTES)


def test_what_is_on_the_disk_is_read_whatever_the_cache_says(
    disk: Disk, device: BlockDevice
) -> None:  # D1
    with disk.path.open("rb", buffering=0) as cached:
        assert cached.read(PAGE_BYTES) == bytes(PAGE_BYTES)
        with disk.file.open("r+b", buffering=0) as content:
            content.write(b"data")

        with alone_with(device) as file:
            assert read_direct(file, 0, PAGE_BYTES)[:4] == b"data"


def test_a_disk_that_somebody_claims_is_in_use(device: BlockDevice) -> None:  # D1, D4
    with alone_with(device):
        assert is_in_use(device)
        with pytest.raises(OperationPending, match="in use"), alone_with(device):
            pass

    assert not is_in_use(device)


def test_a_process_that_is_being_started_holds_no_disk(device: BlockDevice) -> None:
    """S26: it shares all files for a moment, and other volumes' commands start all the time."""
    commands = Commands(timing=Timing(), metrics=Metrics(CollectorRegistry()))
    ends = threading.Event()

    def start() -> None:
        while not ends.is_set():
            commands.run("true")

    with ThreadPoolExecutor() as threads:
        starting = [threads.submit(start) for _ in range(2)]
        try:
            in_use = [is_in_use(device) for _ in range(2000)]
        finally:
            ends.set()
        for each in starting:
            each.result()

    # One in three if it held any; other tests' drivers may claim it for a moment too.
    assert sum(in_use) < 20


@pytest.mark.parametrize("opened", [alone_with, holding])
def test_another_disk_in_its_place_is_not_touched(
    device: BlockDevice, opened: Callable[[BlockDevice], AbstractContextManager[int]]
) -> None:  # D2
    before = replace(device, number=DeviceNumber(device.number.major, device.number.minor + 1))

    with pytest.raises(HostError, match="no longer the device"), opened(before):
        pass


def test_half_a_read_proves_nothing(tmp_path: pathlib.Path) -> None:  # D1
    short = tmp_path / "short"
    short.write_bytes(bytes(PAGE_BYTES))
    file = os.open(short, os.O_RDONLY)
    try:
        with pytest.raises(HostError, match=f"only {PAGE_BYTES} were read"):
            read_direct(file, 0, 2 * PAGE_BYTES)
    finally:
        os.close(file)
