"""Remember which volumes this node has used, so that none of them passes for new (N19)."""

from __future__ import annotations

import logging
import os
import time
from datetime import datetime
from pathlib import Path

from csi_exoblock.config import Timing
from csi_exoblock.errors import HostError
from csi_exoblock.model import VolumeId

log = logging.getLogger(__name__)


class History:
    """A file per volume that was formatted here, mounted for writing or published raw.

    It is written and synced before, and kept for longer than any volume counts as new.

    Args:
        folder: Where they lie, on a file system that survives the driver; made when needed.
    """

    def __init__(self, *, folder: Path, timing: Timing) -> None:
        self._folder = folder
        self._timing = timing

    def why_not_new(self, volume_id: VolumeId, created_at: datetime | None) -> str | None:
        """Return why the volume may hold somebody's data, `None` if it is new and was never used.

        Args:
            created_at: When the cloud made it, `None` if nobody says.
        """
        if created_at is None:
            return "nobody says that it is a new volume"
        age = time.time() - created_at.timestamp()
        if not -self._timing.clocks_apart <= age < self._timing.new_volume_window:
            return f"the volume was made at {created_at:%Y-%m-%d %H:%M} UTC, so it isn't new"
        try:
            self._file(volume_id).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"whether this node has used it can't be read: {error.strerror}"
        return "this node has used the volume before"

    def remember(self, volume_id: VolumeId, created_at: datetime | None) -> None:
        """Note, past a power cut, that the volume is about to be used here.

        A volume that is too old to pass for new needs no note.

        Raises:
            HostError: It can't be noted, and the volume could pass for new later.
        """
        window = self._timing.new_volume_window
        if created_at is not None and time.time() - created_at.timestamp() >= window:
            return
        try:
            self._write(self._file(volume_id))
        except OSError as error:
            if created_at is not None:
                raise HostError(
                    f"volume {volume_id}: that it is used can't be noted in {self._folder}: "
                    f"{error.strerror}; retry"
                ) from error
            log.warning("use of a volume can't be noted", extra={"error": str(error)})

    def _write(self, path: Path) -> None:
        is_known = path.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        for each in (path, self._folder, *(() if is_known else (self._folder.parent,))):
            create = os.O_CREAT | os.O_WRONLY if each is path else os.O_RDONLY
            file = os.open(each, create | os.O_CLOEXEC, 0o600)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        if not is_known:
            self._forget_old()

    def _forget_old(self) -> None:
        """Remove the notes of volumes that can't pass for new any more; twice the time is safe."""
        oldest = time.time() - 2 * self._timing.new_volume_window
        for path in self._folder.iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def _file(self, volume_id: VolumeId) -> Path:
        return self._folder / f"{volume_id.zone}.{volume_id.uuid}"
