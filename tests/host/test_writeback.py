"""D6, D14: what becomes of a pod's last writes is told, also if the disk takes its time."""

from __future__ import annotations

import ctypes
import errno
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from unittest import mock

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.errors import HostError, NoAnswer
from csi_exoblock.host import writeback
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing
from tests.support.threads import without_threads
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fast

VOLUME = "volume a"
# A file has no number of its own as a device, which reads as this.
NO_DEVICE = DeviceNumber(0, 0)
# An answer comes by then, on a busy machine too.
PATIENCE_SECONDS = 60.0
# For one that never comes.
GIVES_UP_SECONDS = 0.05


class Kernel:
    """The calls that write back, which take as long as a test wants, and end as it wants."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.error = 0
        self.calls = 0

    def syncfs(self, _: int) -> int:
        """Answer as the C library's function does."""
        error = self._end()
        ctypes.set_errno(error)
        return -1 if error else 0

    def fsync(self, _: int) -> None:
        """Answer as Python's function does."""
        if error := self._end():
            raise OSError(error, os.strerror(error))

    def _end(self) -> int:
        self.calls += 1
        self.answers.wait()
        error, self.error = self.error, 0  # the kernel tells each error to one file alone
        return error


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    kernel = Kernel()
    monkeypatch.setattr(writeback, "LIBC", kernel)
    monkeypatch.setattr(os, "fsync", kernel.fsync)
    yield kernel
    kernel.answers.set()


@pytest.fixture
def limit() -> CallLimit:
    return CallLimit()


@pytest.fixture
def workers(limit: CallLimit) -> Workers[None]:
    return Workers[None](limit, patience_seconds=PATIENCE_SECONDS, only_informs=False)


@pytest.fixture
def write_back(tmp_path: pathlib.Path, workers: Workers[None]) -> WriteBack:
    (tmp_path / "node").write_text("a device that is there has a size")
    devices = Devices(link_dir=tmp_path, timing=Timing(), metrics=Metrics(CollectorRegistry()))
    return WriteBack(workers=workers, devices=devices)


Sync = Callable[[], None]


@pytest.fixture(params=["file system", "device"])
def sync(request: pytest.FixtureRequest, write_back: WriteBack, tmp_path: pathlib.Path) -> Sync:
    """Write a volume's cached data back: that of a mounted file system, or of a raw device."""
    if request.param == "device":
        return lambda: write_back.sync_device(VOLUME, tmp_path / "node", NO_DEVICE)
    return lambda: write_back.sync_file_system(VOLUME, tmp_path)


GiveUp = Callable[[int], None]


@pytest.fixture
def give_up(sync: Sync, kernel: Kernel, workers: Workers[None]) -> GiveUp:
    """Have a write take longer than its call, and end with an error afterwards."""

    def give_up(error: int) -> None:
        kernel.answers.clear()
        kernel.error = error
        with mock.patch.object(workers, "_patience_seconds", GIVES_UP_SECONDS):
            for _ in range(2):
                with pytest.raises(NoAnswer):
                    sync()
        kernel.answers.set()
        wait_until(lambda: _under_way() == [], "the end of the write")

    return give_up


def _under_way() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("writing back")]


def test_a_write_that_fails_after_its_call_has_gone_is_told_to_the_next(
    write_back: WriteBack, sync: Sync, kernel: Kernel, give_up: GiveUp
) -> None:  # D14: the kernel tells an error once, and a later call would find all well
    give_up(errno.EIO)

    assert write_back.loss_of(VOLUME) == "Input/output error"
    with pytest.raises(HostError, match=r"volume a: its last writes can't .*: Input/output error"):
        sync()
    sync()

    assert "Input/output error" in (write_back.loss_of(VOLUME) or "")
    assert kernel.calls == 2


def test_a_write_that_fails_late_and_for_the_second_time_keeps_nobody(
    sync: Sync, kernel: Kernel, give_up: GiveUp
) -> None:  # D14: a dead disk must not keep a pod Terminating
    kernel.error = errno.EIO
    with pytest.raises(HostError, match="can't be written"):
        sync()
    give_up(errno.EIO)

    sync()

    assert kernel.calls == 2


def test_a_write_that_failed_late_is_told_to_the_stage_that_comes_next(
    write_back: WriteBack, give_up: GiveUp
) -> None:  # D14: kubelet stages a volume again whose pod came back before it left
    give_up(errno.EIO)

    with pytest.raises(HostError, match=r"volume a: its last writes can't be written"):
        write_back.forget(VOLUME)
    write_back.forget(VOLUME)

    assert write_back.loss_of(VOLUME) is None


def test_a_write_that_succeeds_after_its_call_has_gone_is_no_loss(
    write_back: WriteBack, sync: Sync, give_up: GiveUp
) -> None:
    give_up(0)

    sync()

    assert write_back.loss_of(VOLUME) is None


def test_a_write_that_takes_long_is_no_failure_however_often_it_is_asked_about(
    write_back: WriteBack,
    workers: Workers[None],
    sync: Sync,
    kernel: Kernel,
    caplog: pytest.LogCaptureFixture,
) -> None:  # D14: it can succeed a second later
    kernel.answers.clear()

    with mock.patch.object(workers, "_patience_seconds", GIVES_UP_SECONDS):
        for _ in range(3):
            with pytest.raises(NoAnswer, match="writing back"):
                sync()

    assert write_back.loss_of(VOLUME) is None
    assert caplog.messages == []


def test_a_write_that_could_not_begin_is_no_failure(
    write_back: WriteBack, sync: Sync, limit: CallLimit
) -> None:  # D14
    with without_threads():
        for _ in range(2):
            with pytest.raises(HostError, match="no thread"):
                sync()
    while limit.enter(only_informs=False):
        pass

    for _ in range(2):
        with pytest.raises(NoAnswer, match="too many other calls"):
            sync()

    assert write_back.loss_of(VOLUME) is None


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_can_t_be_opened_just_now_is_not_lost(
    write_back: WriteBack, sync: Sync, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:  # D6, D14: the disk and its file system are well
    monkeypatch.setattr(os, "open", mock.Mock(side_effect=OSError(error, os.strerror(error))))
    for _ in range(2):
        with pytest.raises(HostError, match="can't be opened to write its cached data back"):
            sync()

    assert write_back.loss_of(VOLUME) is None


@pytest.mark.parametrize("error", [errno.EIO, errno.ESHUTDOWN, errno.ENXIO, errno.EUCLEAN])
def test_a_file_system_whose_root_can_t_be_opened_is_lost_at_once(
    write_back: WriteBack, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:  # D6: kubelet can't read its path either, and would not come back
    monkeypatch.setattr(os, "open", mock.Mock(side_effect=OSError(error, os.strerror(error))))

    write_back.sync_file_system(VOLUME, tmp_path)

    assert write_back.loss_of(VOLUME) == f"{tmp_path}: {os.strerror(error)}"
