"""Write back what is cached of a volume, while an error can still be seen (D6, D14)."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import threading
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.devices import DeviceNumber, Devices
from csi_exoblock.host.workers import Workers

log = logging.getLogger(__name__)

_LIBC = ctypes.CDLL(None, use_errno=True)

# What opening a device says once its disk has left.
_GONE = frozenset({errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.ENOMEDIUM})


class WriteBack:
    """Syncs file systems and devices, which can hang as long as their disk does.

    What can't be written is reported once, so that a retry may save it. The repetition only logs
    it: the data is lost with its disk, and a volume that can't be written must still be able to
    leave. What was lost is remembered for the volume's health, until the volume is staged again.
    """

    def __init__(self, *, workers: Workers[None], devices: Devices) -> None:
        self._workers = workers
        self._devices = devices
        self._lock = threading.Lock()
        self._losses: dict[str, str] = {}

    def sync_file_system(self, volume: str, mounted: Path) -> None:
        """Write the file system that is mounted at a path to its disk.

        One that was shut down, or whose disk has left, is only noted: no retry writes it. Kubelet,
        which can't look at the path of one that was shut down, would not even come back.

        Raises:
            HostError: It could not be written, for the first time; or it takes too long: then it
                goes on, and the next call finds out how it ended.
        """
        try:
            self._workers.run(f"writing back {mounted}", lambda: _syncfs(mounted, self._devices))
        except _Lost as error:
            log.error("file system was shut down or its disk has left; what it cached is lost")
            self._note(volume, f"{mounted}: {error.strerror}")
        except OSError as error:
            self._report(volume, f"{mounted}: {error.strerror}")

    def sync_device(self, volume: str, node: Path, number: DeviceNumber) -> None:
        """Write what is cached of a block device to its disk; one that is gone is left alone.

        Args:
            node: A device node through which it is reached.

        Raises:
            HostError: It could not be written, or doesn't answer, for the first time.
        """
        try:
            self._workers.run(f"writing back device {number}", lambda: _fsync(node, number))
        except HostError as error:
            self._report(volume, str(error))
        except OSError as error:
            if error.errno in _GONE:
                log.warning("device is gone, so nothing of it is written back")
                self._note(volume, f"{node}: {error.strerror}")
            else:
                self._report(volume, f"{node}: {error.strerror}")

    def loss_of(self, volume: str) -> str | None:
        """Return why a volume's data could not be written, `None` if all of it was."""
        with self._lock:
            return self._losses.get(volume)

    def forget(self, volume: str) -> None:
        """Forget what was lost of a volume: it is staged again."""
        with self._lock:
            self._losses.pop(volume, None)

    def _report(self, volume: str, reason: str) -> None:
        if self._note(volume, reason):
            raise HostError(
                f"{volume}: what was written last can't be written to its disk: {reason}; it is "
                "tried again once, and then given up"
            )
        log.error("cached data could not be written and is lost", extra={"error": reason})

    def _note(self, volume: str, reason: str) -> bool:
        """Remember a loss; return whether it is the volume's first."""
        with self._lock:
            is_first = volume not in self._losses
            self._losses[volume] = reason
            return is_first


class _Lost(OSError):
    """What a file system cached can no longer be written.

    Its disk has left, or even its root can't be opened, as on an xfs that was shut down.
    """


def _syncfs(mounted: Path, devices: Devices) -> None:
    try:
        file = os.open(mounted, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _Lost(error.errno, error.strerror) from error
    try:
        _check(_LIBC.syncfs(file))
    except OSError as error:
        number = DeviceNumber.of(os.fstat(file).st_dev)
        # A btrfs has a number of its own (major 0), which doesn't say whether its disk is there.
        if number.major != 0 and not devices.is_there(number):
            raise _Lost(error.errno, error.strerror) from error
        raise
    finally:
        os.close(file)


def _fsync(node: Path, number: DeviceNumber) -> None:
    def sync(file: int) -> None:
        if DeviceNumber.of(os.fstat(file).st_rdev) != number:
            raise OSError(errno.ENODEV, "another disk has taken its place")
        try:
            os.fsync(file)
        except OSError as error:
            if os.lseek(file, 0, os.SEEK_END) == 0:  # it left while it was open
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO)) from error
            raise

    file = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync(file)
    finally:
        os.close(file)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
