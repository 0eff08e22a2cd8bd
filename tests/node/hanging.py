"""A file system that never answers: a process that reads it hangs until the test ends it."""

from __future__ import annotations

import ctypes
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None, use_errno=True)
# Source: Linux, include/uapi/linux/mount.h and umount2(2).
_MS_BIND = 0x1000
_MNT_DETACH = 2


@contextmanager
def hanging(device: pathlib.Path, *paths: pathlib.Path) -> Iterator[None]:
    """Mount a device at these paths, with a file system in user space that nobody serves.

    The kernel knows it by the device's number, as it knows any other one on that device. Commands
    like mount(8) would hang themselves, so the calls are made here.
    """
    served = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mounted: list[pathlib.Path] = []
    try:
        options = f"fd={served},rootmode=40000,user_id=0,group_id=0,blksize=4096"
        for path in paths:
            path.mkdir(parents=True, exist_ok=True)
            if mounted:
                _mount(mounted[0], path, b"", _MS_BIND, b"")
            else:
                _mount(device, path, b"fuseblk", 0, options.encode())
            mounted.append(path)
        yield
    finally:
        os.close(served)  # processes that hang get an error now
        for path in mounted:
            _LIBC.umount2(os.fsencode(path), _MNT_DETACH)


def _mount(
    source: pathlib.Path, path: pathlib.Path, kind: bytes, flags: int, options: bytes
) -> None:
    if _LIBC.mount(os.fsencode(source), os.fsencode(path), kind, ctypes.c_ulong(flags), options):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
