"""Open and read disks for calls that must not hang with them (S26)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.host.devices import BlockDevice
from csi_exoblock.host.exclusive import is_in_use, open_device
from csi_exoblock.host.readonly import is_read_only, set_read_only
from csi_exoblock.host.workers import Room, Workers

T = TypeVar("T")

_MOST_CALLS = 64  # more disks than an instance can have
_MOST_WAITING = 24  # gRPC has 32 threads; a hung disk keeps one for `patience_seconds`


class DiskCalls:
    """Does what waits for a disk in a thread of its own: one at a time for each disk.

    A disk that doesn't answer keeps that one thread, and who asks about it again is told so at
    once. Nobody is given what was read for an earlier call: it may be older than the question, and
    proves nothing (D1).

    Args:
        patience_seconds: How long a disk is waited for, if the call has so much time.
    """

    def __init__(self, *, patience_seconds: float) -> None:
        # A node where every pod starts at once asks all of its disks.
        room = Room(most_calls=_MOST_CALLS, most_waiting=_MOST_WAITING)
        self._workers = Workers[None](room, patience_seconds=patience_seconds, only_informs=False)

    def run(
        self,
        device: BlockDevice,
        work: Callable[[], T],
        deadline: Deadline | None = None,
        *,
        too_late: Callable[[T], object] | None = None,
    ) -> T:
        """Do what waits for a disk, and return its result or raise what it raised.

        Args:
            work: Writes nothing to the disk: it may come to its end after its call has gone.
            deadline: The call's, `None` inside a job.
            too_late: What becomes of a result that nobody waits for any more.

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
        """Keep the device's name and number from going to another disk; yields its open file.

        Raises:
            HostError: It cannot be opened, doesn't answer, or another disk has taken its place.
            DeadlineExceeded: The call's time ended first.
        """
        file = self.run(device, lambda: open_device(device), deadline, too_late=os.close)
        try:
            yield file
        finally:
            os.close(file)

    def is_in_use(self, device: BlockDevice, deadline: Deadline) -> bool:
        """Tell whether anybody, in any mount namespace, has mounted or claimed the device.

        Raises:
            HostError: It cannot be opened, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        return self.run(device, lambda: is_in_use(device), deadline)

    def is_read_only(self, device: BlockDevice, deadline: Deadline) -> bool:
        """Tell whether the device refuses writes.

        Raises:
            HostError: It can't be asked, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        return self.run(device, lambda: is_read_only(device), deadline)

    def set_read_only(self, device: BlockDevice, read_only: bool, deadline: Deadline) -> None:
        """Make the device refuse writes, or no longer; it holds for all who have it open.

        Raises:
            HostError: It can't be set, or doesn't answer.
            DeadlineExceeded: The call's time ended first.
        """
        self.run(device, lambda: set_read_only(device, read_only=read_only), deadline)
