"""Write-back of a volume's cached data, while an error can still be reported (D6, D14)."""

from __future__ import annotations

import errno
import logging
import os
import threading
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


class WriteBack:
    """Syncs file systems and devices, which can hang as long as their disk does.

    The first failure for a volume is an error, because a retry might save the data. The second is
    only logged: the data is lost with its disk, and the volume must still be able to leave. The
    loss is part of the volume's health until the volume is staged again:

        write_back.sync_device("volume a", node, number)  # HostError: can't be written
        ...                                               # kubelet retries
        write_back.sync_device("volume a", node, number)  # logs the loss, and returns
        write_back.loss_of("volume a")                    # the reason of the last failure
        write_back.forget("volume a")                     # the volume is staged again
    """

    def __init__(self, *, workers: Workers[None], devices: Devices) -> None:
        self._workers = workers
        self._devices = devices
        self._lock = threading.Lock()
        self._losses: dict[str, str] = {}

    def sync_file_system(self, volume: str, mounted: Path) -> None:
        """Write the cached data of the file system that is mounted at a path to its disk.

        If the file system was shut down or its disk has left, the loss is only recorded, as no
        retry can write the data. After a shutdown kubelet can't even read the path, and would not
        retry.

        Raises:
            HostError: The first write failed; or the write takes too long: then it goes on, and the
                next call learns how it ended.
        """
        try:
            self._workers.run(f"writing back {mounted}", lambda: _syncfs(mounted, self._devices))
        except _Lost as error:
            log.error("file system was shut down or its disk has left; its cached data is lost")
            self._note(volume, f"{mounted}: {error.strerror}")
        except OSError as error:
            self._report(volume, f"{mounted}: {error.strerror}")

    def sync_device(self, volume: str, node: Path, number: DeviceNumber) -> None:
        """Write the cached data of a block device to its disk; if that is gone, record the loss.

        Args:
            node: A device node of the device.

        Raises:
            HostError: The write failed or doesn't end, for the first time.
        """
        try:
            self._workers.run(f"writing back device {number}", lambda: _fsync(node, number))
        except HostError as error:
            self._report(volume, str(error))
        except OSError as error:
            if error.errno in _GONE:
                log.warning("device is gone, so its cached data is not written back")
                self._note(volume, f"{node}: {error.strerror}")
            else:
                self._report(volume, f"{node}: {error.strerror}")

    def loss_of(self, volume: str) -> str | None:
        """Return why data of a volume could not be written, `None` if all was written."""
        with self._lock:
            return self._losses.get(volume)

    def forget(self, volume: str) -> None:
        """Forget the loss of a volume, which is being staged again."""
        with self._lock:
            self._losses.pop(volume, None)

    def _report(self, volume: str, reason: str) -> None:
        if self._note(volume, reason):
            raise HostError(
                f"{volume}: its last writes can't be written to its disk: {reason}; Kubernetes "
                "will retry, and after a second failure they are given up"
            )
        log.error("cached data could not be written and is lost", extra={"error": reason})

    def _note(self, volume: str, reason: str) -> bool:
        """Record a loss; return whether it is the volume's first."""
        with self._lock:
            is_first = volume not in self._losses
            self._losses[volume] = reason
            return is_first


class _Lost(OSError):
    """The cached data of a file system can no longer be written.

    Its disk has left, or its root can't be opened, as on an xfs that was shut down.
    """


def _syncfs(mounted: Path, devices: Devices) -> None:
    try:
        file = os.open(mounted, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _Lost(error.errno, error.strerror) from error
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
    def sync(file: int) -> None:
        if DeviceNumber.of(os.fstat(file).st_rdev) != number:
            raise OSError(errno.ENODEV, "another disk has taken its place")
        try:
            os.fsync(file)
        except OSError as error:
            if os.lseek(file, 0, os.SEEK_END) == 0:  # the disk left while the node was open
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO)) from error
            raise

    file = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync(file)
    finally:
        close(file)
