"""Remember, past a crash, which disks the driver was formatting (D10)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from csi_exoblock.errors import HostError, OperationPending
from csi_exoblock.model import VolumeId


class Markers:
    """A file per volume while its mkfs runs; one that is left says that mkfs was interrupted.

    Args:
        folder: Where they lie, on a file system that survives the driver; made when needed.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder
        self._is_kept = False  # whether the folder itself is known to survive a power cut

    def is_set(self, volume_id: VolumeId) -> bool:
        """Tell whether a mkfs of ours began on this volume and did not end."""
        try:
            return self._file(volume_id).read_text() == str(volume_id)
        except FileNotFoundError:
            return False

    @contextmanager
    def marking(self, volume_id: VolumeId) -> Iterator[int]:
        """Write the marker, which from then on survives a power cut, and lock it for the block.

        Yields its open file: who inherits it keeps it locked, also when the driver dies. Not every
        mkfs opens its disk so that others find it busy: that of btrfs doesn't.

        Raises:
            HostError: It can't be written, so formatting must not begin.
            OperationPending: A mkfs of an earlier run of the driver has it locked.
        """
        path = self._file(volume_id)
        with ExitStack() as opened:
            try:
                self._make_folder()
                file = opened.enter_context(path.open("a+"))
                _lock(file.fileno(), volume_id)
                file.truncate(0)
                file.write(str(volume_id))
                file.flush()
                os.fsync(file.fileno())
                _sync(self._folder)
            except OSError as error:
                raise HostError(f"{path}: the marker can't be written: {error}") from error
            yield file.fileno()

    def check_idle(self, volume_id: VolumeId) -> None:
        """Return if no mkfs that was begun on this volume is still at work.

        Raises:
            OperationPending: One is: it was begun by an earlier run of the driver (D10).
        """
        try:
            with self._file(volume_id).open() as file:
                _lock(file.fileno(), volume_id)
        except FileNotFoundError:
            return

    def clear(self, volume_id: VolumeId) -> None:
        """Remove the marker, if there is one."""
        self._file(volume_id).unlink(missing_ok=True)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True)
        except FileExistsError:
            if self._is_kept:
                return
        _sync(self._folder.parent)
        self._is_kept = True

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder / f"{volume_id.zone}.{volume_id.uuid}"


def _lock(file: int, volume_id: VolumeId) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OperationPending(
            f"volume {volume_id}: an mkfs that was begun before the driver started is still at "
            "work; it is not interrupted; retry"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
