"""System calls on mounts that wait for no disk, and so need no process that could be killed."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from csi_exoblock.errors import CommandFailed
from csi_exoblock.host.libc import LIBC, checked

# Source: Linux, include/uapi/linux/mount.h.
_MS_BIND = ctypes.c_ulong(4096)
# Source: umount2(2).
_UMOUNT_NOFOLLOW = 8


def bind(source: Path, path: Path) -> None:
    """Make the system call that `mount --bind` makes.

    Raises:
        CommandFailed: The kernel refused.
    """
    try:
        checked(LIBC.mount(os.fsencode(source), os.fsencode(path), None, _MS_BIND, None))
    except OSError as error:
        raise CommandFailed(f"binding {source} to {path}: {error.strerror}") from error


def unmount(path: Path) -> None:
    """Make the system call that `umount` makes.

    Only for a mount of a file system that is mounted elsewhere too: the last one to go takes the
    file system with it, which waits for its disk.

    Raises:
        OSError: The kernel refused.
    """
    checked(LIBC.umount2(os.fsencode(path), _UMOUNT_NOFOLLOW))
