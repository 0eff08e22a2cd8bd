"""Write-back of a volume's cached data, while an error can still be reported (D6, D14)."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.libc import LIBC, checked
from csi_exoblock.host.starts import close
from csi_exoblock.host.workers import Workers

log = logging.getLogger(__name__)

# The errors of opening a device whose disk has left.
_GONE = frozenset({errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.ENOMEDIUM})
# The errors of opening the root of a file system that works no more. Any other, such as that of a
# process with too many open files, says nothing about the data.
_DEAD = frozenset(
    {errno.EIO, errno.ESHUTDOWN, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM}
    | {errno.EUCLEAN, errno.EBADMSG}  # damaged metadata, for which XFS and ext4 shut down
)


class WriteBack:
    """Syncs file systems and devices, which can hang as long as their disk does.

    The first failure for a volume is an error, because a retry might save the data. The second is
    only logged: the data is lost with its disk, and the volume must still be able to leave. The
    loss is part of the volume's health until the volume is staged again. A write that is still
    under way, or that could not begin, is an error but no failure:

        write_back.sync_device("volume a", node, number)  # NoAnswer: the write goes on
        ...                                               # it fails, and kubelet retries
        write_back.sync_device("volume a", node, number)  # HostError: can't be written
        write_back.sync_device("volume a", node, number)  # fails again: logs the loss, and returns
        write_back.loss_of("volume a")                    # the reason of the last failure
        write_back.forget("volume a")                     # the volume is staged again
    """

    def __init__(self, *, workers: Workers[None], devices: Devices) -> None:
        self._workers = workers
        self._devices = devices
        self._lock = threading.Lock()
        self._losses: dict[str, str] = {}
        self._untold: dict[str, OSError] = {}

    def sync_file_system(self, volume: str, mounted: Path) -> None:
        """Write the cached data of the file system that is mounted at a path to its disk.

        If the file system was shut down or its disk has left, the loss is only recorded, as no
        retry can write the data. After a shutdown kubelet can't even read the path, and would not
        retry.

        Raises:
            HostError: The first write failed; or it takes too long or could not begin. One that
                takes too long goes on, and the next call learns how it ended.
        """
        self._write(
            volume, mounted, f"writing back {mounted}", lambda: _syncfs(mounted, self._devices)
        )

    def sync_device(self, volume: str, node: Path, number: DeviceNumber) -> None:
        """Write the cached data of a block device to its disk; if that is gone, record the loss.

        Args:
            node: A device node of the device.

        Raises:
            HostError: As for a file system.
        """
        self._write(volume, node, f"writing back device {number}", lambda: _fsync(node, number))

    def loss_of(self, volume: str) -> str | None:
        """Return why data of a volume could not be written, `None` if all was written."""
        with self._lock:
            untold = self._untold.get(volume)
            return str(untold.strerror) if untold else self._losses.get(volume)

    def forget(self, volume: str) -> None:
        """Forget the loss of a volume, which is being staged again.

        Raises:
            HostError: A write failed after its call had gone, for the first time; it is told now.
        """
        if untold := self._take(volume):
            self._tell(volume, str(untold.strerror), untold)
        with self._lock:
            self._losses.pop(volume, None)

    def _write(self, volume: str, what: Path, key: str, write: Callable[[], None]) -> None:
        """Write once, and tell a failure: that of an earlier write whose call had gone, too."""

        def work() -> None:
            try:
                write()
            except OSError as error:
                # The kernel tells an error to one open file only, so nobody else will find it.
                with self._lock:
                    self._untold[volume] = error
                raise

        failure = self._take(volume)
        if failure is None:
            try:
                self._workers.run(key, work)
                failure = self._take(volume)  # of one that ended just before this one began
            except OSError as error:
                self._take(volume)
                failure = error
        if failure is not None:
            self._tell(volume, f"{what}: {failure.strerror}", failure)

    def _take(self, volume: str) -> OSError | None:
        """Return the failure that no call has been told of, and forget it."""
        with self._lock:
            return self._untold.pop(volume, None)

    def _tell(self, volume: str, reason: str, failure: OSError) -> None:
        """Record a failure as the volume's loss.

        Raises:
            HostError: It is the volume's first, and a retry might write the data.
        """
        with self._lock:
            is_first = volume not in self._losses
            self._losses[volume] = reason
        if isinstance(failure, _Lost):
            log.error(
                "file system was shut down or its disk has left; its cached data is lost",
                extra={"error": reason},
            )
            return
        if is_first:
            raise HostError(
                f"{volume}: its last writes can't be written to its disk: {reason}; Kubernetes "
                "will retry, and after a second failure they are given up"
            ) from failure
        log.error("cached data could not be written and is lost", extra={"error": reason})


class _Lost(OSError):
    """Cached data can no longer be written.

    Its disk has left, or the root of its file system can't be opened, as on an xfs that was shut
    down.
    """


def _syncfs(mounted: Path, devices: Devices) -> None:
    file = _opened(mounted, lost=_DEAD)
    try:
        checked(LIBC.syncfs(file))
    except OSError as error:
        number = DeviceNumber.of(os.fstat(file).st_dev)
        # A btrfs has an invented number (major 0), which doesn't say whether its disk is there.
        if number.major != 0 and not devices.is_there(number):
            raise _Lost(error.errno, error.strerror) from error
        raise
    finally:
        close(file)


def _fsync(node: Path, number: DeviceNumber) -> None:
    file = _opened(node, lost=_GONE)
    try:
        if DeviceNumber.of(os.fstat(file).st_rdev) != number:
            raise _Lost(errno.ENODEV, "another disk has taken its place")
        try:
            os.fsync(file)
        except OSError as error:
            # A disk that left while the node was open has no size.
            if error.errno in _GONE or os.lseek(file, 0, os.SEEK_END) == 0:
                raise _Lost(errno.ENXIO, os.strerror(errno.ENXIO)) from error
            raise
    finally:
        close(file)


def _opened(path: Path, *, lost: frozenset[int]) -> int:
    """Open what is to be written back.

    Args:
        lost: The errors after which no retry can write the data.

    Raises:
        HostError: It can't be opened now, which says nothing about the data.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in lost:
            raise _Lost(error.errno, error.strerror) from error
        if error.errno in _DEAD:
            raise
        raise HostError(
            f"{path} can't be opened to write its cached data back: {error.strerror}; retry"
        ) from error
