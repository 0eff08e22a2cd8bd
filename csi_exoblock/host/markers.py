"""Markers of disks that are being formatted; they survive a crash and lock the disk (D10)."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi_exoblock.errors import HostError, OperationPending
from csi_exoblock.host.durable import DurableFolder
from csi_exoblock.model import Age, VolumeId

# More than any marker holds.
_MOST_BYTES = 256


class Marker:
    """The locked marker of a volume: no other process can prove its disk blank or format it (D1).

    Attributes:
        file: Its open file. A command that inherits it keeps the lock even if the driver dies. That
            matters for btrfs, whose mkfs doesn't open its disk exclusively.
    """

    def __init__(
        self, file: int, folder: DurableFolder, path: Path, volume_id: VolumeId, age: Age | None
    ) -> None:
        self.file = file
        self._folder = folder
        self._path = path
        self._volume_id = volume_id
        self._age = age

    def set(self) -> None:
        """Write and sync the marker, before formatting begins.

        A marker that an interrupted mkfs left is not written again: a full disk would destroy it.

        Raises:
            HostError: The marker can't be written, so formatting must not begin.
        """
        try:
            if not self.is_set():
                self._write()
            os.fsync(self.file)
            self._folder.sync()
        except OSError as error:
            raise HostError(
                f"{self._path}: the marker can't be written, so nothing is formatted: "
                f"{error.strerror}"
            ) from error

    def is_set(self) -> bool:
        """Return whether a mkfs began since the volume was attached, and did not end."""
        return _is_meant(os.pread(self.file, _MOST_BYTES, 0), self._volume_id, self._age)

    def clear(self) -> None:
        """Remove the marker, after formatting has ended.

        Raises:
            HostError: The marker can't be removed.
        """
        _remove(self._path)

    def _write(self) -> None:
        """Write the whole marker or nothing; the present content is empty, or is no marker."""
        content = _content(self._volume_id, self._age)
        os.ftruncate(self.file, 0)
        if os.pwrite(self.file, content, 0) != len(content):
            os.ftruncate(self.file, 0)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Markers:
    """A file for each volume while its mkfs runs; a file that is left says mkfs was interrupted.

    It holds the volume's id and when the volume was attached. After another attachment it says
    nothing any more: in between the volume can have got a pod's data on another node (D1).

    Two processes of the driver serve a node while it is upgraded. The file is locked, across
    processes, from before the disk is probed until mkfs has ended:

        with markers.locked(volume_id, age) as marker:
            prove that the disk is blank
            marker.set()
            run mkfs, which inherits marker.file
            marker.clear()
        ...                             # or the node loses power during mkfs, and boots again:
        markers.is_set(volume_id, age)  # True: the driver may wipe the unfinished file system

    Args:
        folder: Where the files lie, on a file system that survives the driver; made when needed.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = DurableFolder(folder)

    def is_set(self, volume_id: VolumeId, age: Age | None) -> bool:
        """Return whether a mkfs began since the volume was attached, and did not end.

        Args:
            age: How old the volume was when it was attached, `None` if unknown.

        Raises:
            HostError: It can't be read.
        """
        path = self._file(volume_id)
        try:
            return _is_meant(path.read_bytes(), volume_id, age)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise HostError(f"{path}: the marker can't be read: {error.strerror}") from error

    @contextmanager
    def locked(self, volume_id: VolumeId, age: Age | None = None) -> Iterator[Marker]:
        """Lock the volume's marker for the block, against every other process of the driver too.

        Args:
            age: How old the volume was when it was attached, `None` if unknown.

        Raises:
            HostError: The file can't be made, so formatting must not begin.
            OperationPending: Another process has it locked, or an mkfs that outlived one.
        """
        file, path = self._open(volume_id), self._file(volume_id)
        try:
            marker = Marker(file, self._folder, path, volume_id, age)
            try:
                yield marker
            finally:
                if not marker.is_set():  # it served only as the lock
                    _remove(path)
        finally:
            os.close(file)

    def check_idle(self, volume_id: VolumeId) -> None:
        """Raise OperationPending unless the volume is neither being formatted nor about to be.

        Raises:
            OperationPending: Another process of the driver has the marker locked, or an mkfs that
                outlived such a process.
            HostError: The marker can't be read.
        """
        path = self._file(volume_id)
        try:
            with path.open("rb") as file:
                _lock(file.fileno(), volume_id)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HostError(f"{path}: the marker can't be read: {error.strerror}") from error

    def clear(self, volume_id: VolumeId) -> None:
        """Remove the marker if there is one; otherwise write nothing.

        Raises:
            OperationPending: Another process of the driver has it locked.
            HostError: It can't be removed.
        """
        if not self._file(volume_id).exists():
            return
        with self.locked(volume_id) as marker:
            marker.clear()

    def _open(self, volume_id: VolumeId) -> int:
        """Open the marker's file, made if it is absent, and lock it."""
        path = self._file(volume_id)
        while True:
            try:
                self._folder.make()
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise HostError(
                    f"{path}: the marker can't be made, so nothing is formatted: {error.strerror}"
                ) from error
            try:
                _lock(file, volume_id)
                if _is_at(file, path):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # the process that had locked it until now has removed it

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder.path / f"{volume_id.zone}.{volume_id.uuid}"


def _content(volume_id: VolumeId, age: Age | None) -> bytes:
    """Return what a marker holds; 0.1.0 wrote the id alone."""
    attached = f" attached {age.attached_at.isoformat()}" if age else ""
    return f"{volume_id}{attached}".encode()


def _is_meant(content: bytes, volume_id: VolumeId, age: Age | None) -> bool:
    """Return whether a marker is about this attachment, or says about none."""
    return content in {_content(volume_id, None), _content(volume_id, age)}


def _lock(file: int, volume_id: VolumeId) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OperationPending(
            f"volume {volume_id}: its disk is being formatted by another process of the driver, or "
            "by an mkfs that outlived such a process; it is not interrupted; retry"
        ) from error


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HostError(f"{path}: the marker can't be removed: {error.strerror}") from error
