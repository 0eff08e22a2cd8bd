"""Thawing of file systems that were left frozen (D13).

A backup freezes a file system (`fsfreeze`) and dies. When the last mount of a frozen file system
goes, the kernel keeps the file system and its disk busy, and no path leads to it any more. Nothing
shows that a file system is frozen, and thawing it could break a backup at work. So the driver thaws
only a file system that no other process uses.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import BlockDevice, DeviceNumber
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.libc import LIBC, checked
from csi_exoblock.host.open_files import Sought
from csi_exoblock.host.processes import Processes
from csi_exoblock.host.workers import Workers
from csi_exoblock.model import Filesystem

# Source: Linux, include/uapi/asm-generic/unistd.h (the same on every architecture) and mount.h.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6

# Source: Linux, include/uapi/linux/fs.h: _IOWR('X', 120, int)
_FITHAW = 0xC0045878


class Thawing:
    """Thaws a file system through its mount, or through a private one that no path shows.

    A volume whose file system was left frozen is unstaged:

        umount /…/globalmount   # succeeds, but the kernel keeps /dev/vdb busy
        thawing.thaw(vdb, …)    # mounts vdb at no path, thaws it there and drops the mount: True
        ...                     # the kernel lets go of /dev/vdb, and the volume can be detached
        thawing.thaw(vdb, …)    # False: nothing was frozen
    """

    def __init__(self, *, workers: Workers[bool], processes: Processes) -> None:
        self._workers = workers
        self._processes = processes

    def thaw(self, device: BlockDevice, *, skip_hung: bool) -> bool:
        """Thaw the file system of a disk that is busy although it is mounted nowhere.

        Args:
            skip_hung: Whether to assume that a process that hangs has no mapping of this file
                system beyond its open files.

        Returns:
            Whether it was thawed: it was frozen, and no process had it open.

        Raises:
            HostError: The disk doesn't answer; or no process is found, but one hangs and could
                have it open.
        """
        return self._run(device.path, lambda: self._thaw_privately(device, skip_hung))

    def thaw_mounted(self, path: Path) -> bool:
        """Thaw the file system that is mounted at a path; return whether it was frozen.

        Raises:
            HostError: It doesn't answer.
        """
        return self._run(path, lambda: _thaw(path))

    def _run(self, what: Path, work: Callable[[], bool]) -> bool:
        try:
            return self._workers.run(f"thawing {what}", work)
        except OSError as error:
            raise HostError(f"thawing {what}: {error}") from error

    def _thaw_privately(self, device: BlockDevice, skip_hung: bool) -> bool:
        with _mounted_privately(device) as mount:
            if mount is None:
                return False
            number = DeviceNumber.of(os.fstat(mount).st_dev)
            sought = Sought(devices=frozenset(), filesystems=frozenset({number}))
            # It was unmounted lazily, and is in use.
            if self._processes.using(sought, skip_hung=skip_hung):
                return False
            return _thaw(Path("."), within=mount)


def _thaw(path: Path, *, within: int | None = None) -> bool:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=within)
    try:
        fcntl.ioctl(root, _FITHAW, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:  # it wasn't frozen
            return False
        raise
    finally:
        os.close(root)
    return True


@contextmanager
def _mounted_privately(device: BlockDevice) -> Iterator[int | None]:
    """Mount a busy device at no path inside the block; yield `None` if that isn't possible.

    While a device is busy with a file system, the kernel mounts only this one from it: another type
    is refused, and so is the same type with another write protection. So each is tried. The mount
    ends with its descriptor, even if the driver is killed.
    """
    attempts = ((kind, read_only) for kind in Filesystem for read_only in (False, True))
    mount = next(filter(None, (_mount(device, *each) for each in attempts)), None)
    try:
        yield mount
    finally:
        if mount is not None:
            os.close(mount)


def _mount(device: BlockDevice, kind: Filesystem, read_only: bool) -> int | None:
    try:
        context = _call(_FSOPEN, kind.encode(), _CLOEXEC)
        try:
            _call(_FSCONFIG, context, _SET_STRING, b"source", os.fsencode(device.path), 0)
            if read_only:
                _call(_FSCONFIG, context, _SET_FLAG, b"ro", None, 0)
            _call(_FSCONFIG, context, _CREATE, None, None, 0)
            return _call(_FSMOUNT, context, _CLOEXEC, 0)
        finally:
            os.close(context)
    except OSError as error:
        refuse_exhausted(error)
        return None


def _call(number: int, *arguments: int | bytes | None) -> int:
    return checked(LIBC.syscall(number, *arguments))
