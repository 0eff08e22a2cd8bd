"""A disk whose content is on a file system of the tests' own, which stops answering when told to.

The disk is a loop device on a file that is served through FUSE. A process that reads it waits where
no signal reaches, as on a virtio disk whose backend hangs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from tests.node.disks import GIB, Disk, attached_disk

_LIBC = ctypes.CDLL(None, use_errno=True)
# Source: umount2(2). Forced, requests that are under way fail, and so do later ones.
_MNT_FORCE, _MNT_DETACH = 1, 2

# Source: Linux, include/uapi/linux/fuse.h.
_IN = struct.Struct("=IIQQIIIHH")
_OUT = struct.Struct("=IiQ")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_ANY_REQUEST_BYTES = 1024**2
_MOST_WRITTEN = 128 * 1024
_ROOT, _FILE = 1, 2
_NAME = b"disk"
_UNCACHED = 1  # FOPEN_DIRECT_IO


class Asked(IntEnum):
    """What the kernel asks for."""

    LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, RELEASE = 1, 2, 3, 14, 15, 16, 18
    FSYNC, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 20, 25, 26, 27, 29, 36, 42


_UNANSWERED = frozenset({Asked.FORGET, Asked.BATCH_FORGET, Asked.INTERRUPT})
_DONE = frozenset({Asked.FSYNC, Asked.RELEASE, Asked.FLUSH, Asked.RELEASEDIR})


class Server:
    """Serves one file, and leaves what it is told to leave without an answer."""

    def __init__(self, kernel: int, content: int) -> None:
        self._kernel = kernel
        self._content = content
        self._lock = threading.Lock()
        self._ignored: frozenset[Asked] = frozenset()
        self._left: list[bytes] = []

    def stop_answering(self, *, about_itself: bool = False) -> None:
        """Leave every further read and write without an answer.

        Args:
            about_itself: Leave what asks for the file's attributes instead, as each `losetup` of
                this machine does: only for a moment.
        """
        with self._lock:
            kinds = (Asked.GETATTR,) if about_itself else (Asked.READ, Asked.WRITE)
            self._ignored = frozenset(kinds)

    def is_asked(self) -> bool:
        """Return whether a request is left without an answer."""
        with self._lock:
            return bool(self._left)

    def answer_again(self) -> None:
        """Answer everything, also what was left so far."""
        with self._lock:
            self._ignored = frozenset()
            left, self._left = self._left, []
        for request in left:
            self._serve(request)

    def run(self) -> None:
        """Serve until the file system is gone."""
        while True:
            try:
                request = os.read(self._kernel, _ANY_REQUEST_BYTES)
            except OSError:
                return
            with self._lock:
                _, opcode, *_ = _IN.unpack_from(request)
                is_left = opcode in self._ignored
                if is_left:
                    self._left.append(request)
            if not is_left:
                self._serve(request)

    def _serve(self, request: bytes) -> None:
        _, opcode, unique, node, *_ = _IN.unpack_from(request)
        if opcode in _UNANSWERED:
            return
        error, body = self._answer(opcode, node, request[_IN.size :])
        with contextlib.suppress(OSError):  # who asked has gone, or the file system has
            os.write(self._kernel, _OUT.pack(_OUT.size + len(body), -error, unique) + body)

    def _answer(self, opcode: int, node: int, body: bytes) -> tuple[int, bytes]:
        if opcode in _DONE:
            return 0, b""
        match opcode:
            case Asked.INIT:
                settings = (7, 31, 128 * 1024, 0, 12, 9, _MOST_WRITTEN, 1, 32, 0, 0)
                return 0, struct.pack("=IIIIHHIIHHI28x", *settings)
            case Asked.LOOKUP:
                if body.rstrip(b"\0") != _NAME:
                    return errno.ENOENT, b""
                return 0, struct.pack("=QQQQII", _FILE, 0, 0, 0, 0, 0) + self._attributes(_FILE)
            case Asked.GETATTR:
                return 0, struct.pack("=QII", 0, 0, 0) + self._attributes(node)
            case Asked.OPEN | Asked.OPENDIR:
                return 0, struct.pack("=QII", 0, _UNCACHED, 0)
            case Asked.READ:
                _, offset, length = struct.unpack_from("=QQI", body)
                return 0, os.pread(self._content, length, offset)
            case Asked.WRITE:
                _, offset, length = struct.unpack_from("=QQI", body)
                return 0, struct.pack("=II", os.pwrite(self._content, body[40:], offset), 0)
        return errno.ENOSYS, b""

    def _attributes(self, node: int) -> bytes:
        is_file = node == _FILE
        size_bytes = os.fstat(self._content).st_size if is_file else 0
        mode = 0o100600 if is_file else 0o040700
        return _ATTRIBUTES.pack(node, size_bytes, size_bytes // 512, *[0] * 6, mode, 1, *[0] * 5)


@contextmanager
def served_file(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, Server]]:
    """Serve a file of 1 GiB of zeros for the length of the block."""
    content, mounted = folder / "content", folder / "served"
    content.touch()
    os.truncate(content, GIB)
    mounted.mkdir()
    kernel = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    file = os.open(content, os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={kernel},rootmode=40000,user_id=0,group_id=0".encode()
    if _LIBC.mount(b"tests", os.fsencode(mounted), b"fuse", ctypes.c_ulong(0), options):
        raise OSError(ctypes.get_errno(), "mounting what is served")
    server = Server(kernel, file)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield mounted / _NAME.decode(), server
    finally:
        server.answer_again()
        _LIBC.umount2(os.fsencode(mounted), _MNT_FORCE | _MNT_DETACH)
        thread.join()
        os.close(kernel)
        os.close(file)


@contextmanager
def served_disk(
    folder: pathlib.Path, links: pathlib.Path, *, sector_bytes: int = 4096
) -> Iterator[tuple[Disk, Server]]:
    """Attach a disk that a server serves; at the end it answers again."""
    with (
        served_file(folder) as (file, server),
        attached_disk(folder, links, sector_bytes=sector_bytes, file=file) as disk,
    ):
        try:
            yield disk, server
        finally:
            server.answer_again()
