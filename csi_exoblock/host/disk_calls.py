"""Open and read disks without letting a hung disk hang the caller (S26)."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.exclusive import is_in_use, open_device
from csi_exoblock.host.workers import CallLimit, Workers

T = TypeVar("T")

# Source: Linux, include/uapi/linux/fs.h: _IO(0x12, 93) and _IO(0x12, 94), both with a C int.
_BLKROSET = 0x125D
_BLKROGET = 0x125E


class DiskCalls:
    """Runs work that waits for a disk in a separate thread: one at a time for each disk.

    A disk that doesn't answer keeps that one thread, and a later call about it fails at once. No
    call gets the result of an earlier one: it could be older than the question, and proves nothing
    (D1).

    Args:
        patience_seconds: How long to wait for a disk at most.
    """

    def __init__(self, *, patience_seconds: float) -> None:
        # Separate, because a node where every pod starts at once asks all of its disks.
        limit = CallLimit.for_each_disk()
        self._workers = Workers[None](limit, patience_seconds=patience_seconds, only_informs=False)

    def run(
        self,
        device: BlockDevice,
        work: Callable[[], T],
        deadline: Deadline | None = None,
        *,
        too_late: Callable[[T], object] | None = None,
    ) -> T:
        """Run work that waits for a disk, and return its result or raise its exception.

        Args:
            work: Must write nothing to the disk: it can end after its call has gone.
            deadline: The call's, `None` inside a job.
            too_late: Called with a result that comes after the call has gone.

        Raises:
            NoAnswer: The disk doesn't answer, or has not answered an earlier call yet.
            HostError: The host has no thread left.
            DeadlineExceeded: The call's time ended first.
        """
        answer = Future[T]()

        def carry_out() -> None:
            answer.set_result(work())

        try:
            self._workers.run(f"disk {device.path}", carry_out, deadline, joins=False)
        except BaseException:
            if too_late:
                answer.add_done_callback(lambda late: too_late(late.result()))
            raise
        return answer.result()

    @contextmanager
    def holding(self, device: BlockDevice, deadline: Deadline) -> Iterator[int]:
        """Keep the device's name and number from going to another disk; yield its open file.

        Raises:
            HostError: It can't be opened, doesn't answer, or another disk has taken its place.
            DeadlineExceeded: The call's time ended first.
        """
        file = self.run(device, lambda: open_device(device), deadline, too_late=os.close)
        try:
            yield file
        finally:
            os.close(file)

    def is_in_use(self, device: BlockDevice, deadline: Deadline) -> bool:
        """Return whether the device is mounted or claimed in any mount namespace.

        Raises:
            HostError: It can't be opened, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        return self.run(device, lambda: is_in_use(device), deadline)

    def is_read_only(self, device: BlockDevice, deadline: Deadline) -> bool:
        """Return whether the device refuses writes.

        Raises:
            HostError: It can't be asked, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        return self.run(device, lambda: _read_only_flag(device, _BLKROGET), deadline) != 0

    def set_read_only(self, device: BlockDevice, read_only: bool, deadline: Deadline) -> None:
        """Make the device refuse or accept writes, for every process that has it open.

        Raises:
            HostError: It can't be set, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        value = int(read_only)
        self.run(device, lambda: _read_only_flag(device, _BLKROSET, value), deadline)


def _read_only_flag(device: BlockDevice, request: int, value: int = 0) -> int:
    """Ask for the flag or set it; return the value that the kernel leaves.

    Raises:
        HostError: The device can't be opened or asked.
    """
    try:
        file = os.open(device.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(file, request, struct.pack("=i", value))
        finally:
            os.close(file)
    except OSError as error:
        raise HostError(f"device {device.path}: {error.strerror}") from error
    return int(struct.unpack("=i", answer)[0])
