"""The volumes that this node has used, remembered so that none of them passes for new (N19)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host.durable import DurableFolder
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.model import Age, VolumeId
from csi_exoblock.timing import HostTiming

log = logging.getLogger(__name__)


class History:
    """A file for each volume that was formatted here, mounted for writing or published raw.

    The file is written and synced before the use, and holds the time at which the cloud made the
    volume. It is kept until the node uses a volume so much younger that the older one can't pass
    for new any more. The node's clock doesn't decide: it can be wrong by days, and right tomorrow.

        history.remember(a, made_on_monday)       # a's file is synced, then a is mounted
        history.why_not_new(a, made_on_monday)    # "this node has used the volume before"
        ...                                       # the node restarts with its clock at Sunday
        history.why_not_new(a, made_on_monday)    # the same: the file is still there
        history.remember(b, made_a_month_later)   # a's file is removed: a can't pass for new

    Args:
        folder: Where the files lie, on a file system that survives the driver; made when needed.
    """

    def __init__(self, *, folder: Path, timing: HostTiming) -> None:
        self._folder = DurableFolder(folder)
        self._timing = timing

    def why_not_new(self, volume_id: VolumeId, age: Age | None) -> str | None:
        """Return why the volume might hold data, `None` if it is new and was never used.

        The node's clock alone proves nothing: it can be months behind. It can only add to the age
        that the cloud's times tell, of a volume that stays attached for long.

        Args:
            age: How old it was when it was attached, `None` if unknown.

        Raises:
            HostError: The host has no file or memory left.
        """
        if age is None:
            return "nothing says that it is a new volume"
        now, says = max(
            (time.time(), "this node's clock says"),
            (age.attached_at.timestamp(), "it was attached at"),
            (self._latest(), "another volume here was made at"),
        )
        seconds = now - age.created_at.timestamp()
        if not -self._timing.clocks_apart <= seconds < self._timing.new_volume_window:
            return (
                f"the volume was made at {age.created_at:%Y-%m-%d %H:%M} UTC, and {says} "
                f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC, so it isn't new"
            )
        try:
            self._file(volume_id).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            refuse_exhausted(error)
            return f"this node's record of used volumes can't be read: {error.strerror}"
        return "this node has used the volume before"

    def remember(self, volume_id: VolumeId, age: Age | None) -> None:
        """Record, so that a power cut doesn't lose it, that the volume is about to be used here.

        A volume far older than another one can never pass for new, and needs no file.

        Raises:
            HostError: The file is not there and can't be written, and the volume could pass for new
                later.
        """
        latest = self._latest()
        if age is not None and self._is_outlived(age.created_at.timestamp(), latest):
            return
        try:
            self._write(self._file(volume_id), age)
        except OSError as error:
            is_recorded = os.path.exists(self._file(volume_id))
            if age is not None and self._can_pass_for_new(age) and not is_recorded:
                raise HostError(
                    f"volume {volume_id}: its use can't be recorded in {self._folder.path}: "
                    f"{error.strerror}; retry"
                ) from error
            log.warning("use of a volume can't be recorded", extra={"error": str(error)})

    def _can_pass_for_new(self, age: Age) -> bool:
        seconds = (age.attached_at - age.created_at).total_seconds()
        return seconds < self._timing.new_volume_window

    def _is_outlived(self, made: float, latest: float) -> bool:
        """Return whether the latest volume is so young that this one can't pass for new."""
        return latest - made >= 2 * self._timing.new_volume_window

    def _latest(self) -> float:
        """Return when the youngest of the used volumes was made, in seconds since 1970."""
        return _youngest(map(_made, self._files()))

    def _files(self) -> list[Path]:
        try:
            return list(self._folder.path.iterdir())
        except OSError as error:
            refuse_exhausted(error)
            return []

    def _write(self, path: Path, age: Age | None) -> None:
        is_known = path.exists()
        self._folder.make()
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            if age is not None:
                os.pwrite(file, f"{age.created_at.timestamp():.0f}\n".encode(), 0)
            os.fsync(file)
        finally:
            os.close(file)
        self._folder.sync()
        if not is_known:
            self._forget_old()

    def _forget_old(self) -> None:
        """Remove the files of volumes that can't pass for new any more.

        A file without the time at which its volume was made is judged by its own age.
        """
        files = {path: _made(path) for path in self._files()}
        latest = _youngest(files.values())
        oldest = time.time() - 2 * self._timing.new_volume_window
        for path, made in files.items():
            if made is None:
                is_outlived = path.stat().st_mtime < oldest
            else:
                is_outlived = self._is_outlived(made, latest)
            if is_outlived:
                path.unlink(missing_ok=True)

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder.path / f"{volume_id.zone}.{volume_id.uuid}"


def _youngest(made: Iterable[float | None]) -> float:
    return max(filter(None, made), default=0.0)


def _made(file: Path) -> float | None:
    """Return when the volume of a file was made, `None` if the file doesn't say."""
    try:
        return float(file.read_bytes())
    except ValueError:
        return None
    except OSError as error:
        refuse_exhausted(error)
        return None
