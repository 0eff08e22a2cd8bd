"""Loop devices, and the devices that they are made of."""

from __future__ import annotations

import fcntl
import math
import os
import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.errors import NoAnswer
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.workers import Workers

Backings = Mapping[str, tuple[DeviceNumber, ...]]

# Source: Linux, include/uapi/linux/loop.h: the device that holds the file, the file's inode, and
# the device that the file is itself.
_GET_STATUS64 = 0x4C05
_INFO = struct.Struct("=QQQ208x")


class Loops:
    """The loop devices of this host. Searches at the same time share one look at all of them.

    Args:
        workers: Bounds how long the query of one loop device takes: if its content is on a network
            or in user space, the kernel asks there first (S26).
    """

    def __init__(
        self,
        *,
        workers: Workers[tuple[DeviceNumber, ...]],
        sysfs: Path = Path("/sys"),
        dev: Path = Path("/dev"),
    ) -> None:
        self._workers = workers
        self._sysfs = sysfs
        self._dev = dev
        self._shared = SharedCall(self._look, name="a look at all loop devices")

    def backings(self) -> tuple[Backings, NoAnswer | None]:
        """Return what each loop device is made of, by name, and why any is missing.

        Raises:
            HostError: The host has no thread left.
        """
        return self._shared.get(Deadline(math.inf))

    def _look(self) -> tuple[Backings, NoAnswer | None]:
        found, silent = {}, None
        try:
            files = list((self._sysfs / "block").glob("loop*/loop/backing_file"))
        except OSError as error:
            refuse_exhausted(error)
            raise
        for file in files:
            name = file.parent.parent.name
            query = partial(_backing_of, self._dev / name)
            try:
                found[name] = self._workers.run(f"loop device {name}", query)
            except NoAnswer as error:
                silent = silent or error
        return found, silent


def _backing_of(loop: Path) -> tuple[DeviceNumber, ...]:
    """Return the numbers of the device that holds a loop device's file, and that the file is.

    Raises:
        HostError: The host has no file or memory left.
    """
    try:
        file = os.open(loop, os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(file, _GET_STATUS64, bytes(_INFO.size))
        finally:
            os.close(file)
    except OSError as error:  # it has lost its file meanwhile
        refuse_exhausted(error)
        return ()
    on, _, itself = _INFO.unpack(answer)
    return tuple(map(DeviceNumber.of, (on, itself)))
