"""D4, S26: a host that has run out of files or memory says nothing of a disk or a process."""

from __future__ import annotations

import errno
import os
import pathlib
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest import mock

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice, BlockDevices, DeviceNumber
from csi_exoblock.host.commands import is_own_command
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.history import History
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.liveness import Liveness
from csi_exoblock.host.loops import Loops
from csi_exoblock.host.mappings import Mappings
from csi_exoblock.host.open_files import Sought, opened, read
from csi_exoblock.host.processes import Processes
from csi_exoblock.host.serials import Serials
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Age, VolumeId
from csi_exoblock.timing import Timing
from tests.host.test_liveness import mounted

pytestmark = pytest.mark.fast

VOLUME = VolumeId.parse("ch-gva-2/7e2f2b0c-0f0e-4a3e-9b52-2f4f1d0a8c11")

Question = Callable[[pathlib.Path], object]


def _describe_a_disk(folder: pathlib.Path) -> object:
    return BlockDevices(sysfs=folder, dev=folder).describe("vdb")


def _list_partitions(folder: pathlib.Path) -> object:
    return BlockDevices(sysfs=folder, dev=folder).partitions(_disk(folder))


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


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Have every file that this process opens fail, for the length of the block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _read_a_root(folder: pathlib.Path) -> object:
    return _liveness(folder).why_unusable(mounted(folder), writing=False)


def _count_errors(folder: pathlib.Path) -> object:
    return _liveness(folder).recorded_errors(_disk(folder))


def _read_of_a_process(_: pathlib.Path) -> object:
    return read(pathlib.Path("/proc/self/mountinfo"))


def _ask_for_a_serial(folder: pathlib.Path) -> object:
    if not (disk := folder / "vdb").exists():
        disk.mkdir()
        (disk / "dev").write_text("254:0")
        (disk / "serial").write_text("")
    return Serials(blocks=folder, timing=Timing()).of("vdb")


def _look_at_used_volumes(folder: pathlib.Path) -> object:
    now = datetime.now(UTC)
    age = Age(created_at=now, attached_at=now)
    return History(folder=folder, timing=Timing()).why_not_new(VOLUME, age)


def _liveness(sysfs: pathlib.Path) -> Liveness:
    workers = Workers[None](CallLimit(), patience_seconds=60.0, only_informs=False)
    return Liveness(workers=workers, sysfs=sysfs)


def _disk(folder: pathlib.Path) -> BlockDevice:
    return BlockDevice(
        path=folder / "vdb", number=DeviceNumber(254, 0), size_bytes=4096, sector_bytes=4096
    )


@pytest.mark.parametrize(
    "ask",
    [
        _read_a_root,
        _count_errors,
        _read_of_a_process,
        _ask_for_a_serial,
        _look_at_used_volumes,
    ],
)
def test_a_host_without_descriptors_says_nothing_of_a_file_system_or_disk(
    tmp_path: pathlib.Path, ask: Question
) -> None:  # D7, N7, N19: a file system that works would be called dead, and a used volume new
    ask(tmp_path)

    with no_descriptor_left(), pytest.raises(HostError, match="run out of files or memory"):
        ask(tmp_path)


def _what_is_built_upon(folder: pathlib.Path) -> object:
    (folder / "self").mkdir()
    (folder / "self" / "mountinfo").touch()
    holders = Holders(
        workers=Workers(CallLimit(), patience_seconds=60.0, only_informs=False),
        loops=Loops(
            workers=Workers(CallLimit(), patience_seconds=60.0, only_informs=False), sysfs=folder
        ),
        processes=Processes(
            mappings=Mappings(patience_seconds=60.0, later_seconds=60.0), proc=folder
        ),
        proc=folder,
        sysfs=folder,
    )
    return holders.of_device(frozenset({DeviceNumber(254, 0)}))


def _search_by_link(folder: pathlib.Path) -> object:
    (folder / "class" / "block").mkdir(parents=True)
    devices = Devices(
        link_dir=folder,
        timing=Timing(),
        metrics=Metrics(CollectorRegistry()),
        sysfs=folder,
        dev=folder,
    )
    return devices.search(VOLUME.uuid)


def _look_at_a_command(_: pathlib.Path) -> object:
    return is_own_command(pathlib.Path("/proc/self"))


@pytest.mark.parametrize(
    ("call", "ask"),
    [
        ("listdir", _what_is_built_upon),
        ("readlink", _search_by_link),
        ("readlink", _look_at_a_command),
    ],
)
def test_a_call_without_memory_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, call: str, ask: Question
) -> None:  # D4: else a disk that is in use would pass for free or absent
    with monkeypatch.context() as changed:
        fails = mock.Mock(side_effect=OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))
        changed.setattr(os, call, fails)
        with pytest.raises(HostError, match="run out of files or memory"):
            ask(tmp_path)


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
