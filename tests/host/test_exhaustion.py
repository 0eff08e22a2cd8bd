"""D4, S26: a host that has run out of files or memory says nothing of a disk or a process."""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Callable
from unittest import mock

import pytest

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice, BlockDevices, DeviceNumber
from csi_exoblock.host.loops import Loops
from csi_exoblock.host.mappings import Mappings
from csi_exoblock.host.open_files import Sought, opened
from csi_exoblock.host.workers import CallLimit, Workers

pytestmark = pytest.mark.fast

Question = Callable[[pathlib.Path], object]


def _describe_a_disk(folder: pathlib.Path) -> object:
    return BlockDevices(sysfs=folder, dev=folder).describe("vdb")


def _list_partitions(folder: pathlib.Path) -> object:
    disk = BlockDevice(
        path=folder / "vdb", number=DeviceNumber(254, 0), size_bytes=4096, sector_bytes=4096
    )
    return BlockDevices(sysfs=folder, dev=folder).partitions(disk)


def _look_at_loops(folder: pathlib.Path) -> object:
    (folder / "block" / "loop0" / "loop" / "backing_file").mkdir(parents=True)
    workers = Workers[tuple[DeviceNumber, ...]](
        CallLimit(), patience_seconds=60.0, only_informs=False
    )
    return Loops(workers=workers, sysfs=folder, dev=folder).backings()


def _look_at_open_files(folder: pathlib.Path) -> object:
    number = DeviceNumber.of(folder.stat().st_dev)
    return list(opened(pathlib.Path("/proc/self"), Sought(frozenset(), frozenset({number}))))


def _look_at_mappings(folder: pathlib.Path) -> object:
    process = folder / "1"
    (process / "task").mkdir(parents=True)
    return Mappings(patience_seconds=60.0, later_seconds=60.0).of([process])


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
@pytest.mark.parametrize(
    "ask",
    [_describe_a_disk, _list_partitions, _look_at_loops, _look_at_open_files, _look_at_mappings],
)
def test_what_can_t_be_asked_just_now_is_not_taken_for_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, ask: Question, error: int
) -> None:
    with monkeypatch.context() as changed:
        fails = mock.Mock(side_effect=OSError(error, os.strerror(error)))
        for name in ("open", "listdir"):
            changed.setattr(os, name, fails)
        with pytest.raises(HostError, match="run out of files or memory"):
            ask(tmp_path)


def test_what_is_not_there_is_absent(tmp_path: pathlib.Path) -> None:
    assert _describe_a_disk(tmp_path) is None
    assert _list_partitions(tmp_path) == []
