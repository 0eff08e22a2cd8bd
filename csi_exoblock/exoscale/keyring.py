"""The key that signs requests: the one that its file holds now, without a restart (F1)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.credentials import KEY_VARIABLE, SECRET_VARIABLE, Credentials, read_credentials

log = logging.getLogger(__name__)

_READS = 3  # before a key counts as refused: the file may change during one of them

_State = tuple[tuple[int, int, int, int], ...]
"""What tells one content of a file from another: device, inode, time of change and size."""


class Keyring:
    """Hands out the key, and looks before each request whether its file has changed.

    A file that can't be read any more is logged once, and the key that it held stays in use. So
    does the last key that the API accepted while the file's is refused: of a folder whose two files
    are written one after the other, the new key is read with the old secret for a while.

    Args:
        first: The key as it was read at start.
        path: The file or folder where its successors will be; `None` for a key that never changes.
    """

    def __init__(self, first: Credentials, path: Path | None, *, timing: Timing) -> None:
        self._path = path
        self._timing = timing
        self._lock = threading.Lock()
        self._current = first
        self._accepted: Credentials | None = None
        self._passed_over: Credentials | None = None
        self._seen: _State | None = None
        self._refused: Credentials | None = None
        self._refused_at = 0.0

    def current(self, refused: Collection[Credentials] = ()) -> Credentials:
        """Return the key to sign with.

        Args:
            refused: What the same request was signed with before, and was refused.
        """
        if self._path is not None and _state_of(self._path) != self._seen:
            self._read(self._path)
        with self._lock:
            return next(
                (each for each in self._by_preference() if each not in refused), self._current
            )

    def accepted(self, credentials: Credentials, refused: Collection[Credentials]) -> None:
        """Note that the API accepted a request by its key.

        Args:
            refused: What the same request was signed with before, and was refused.
        """
        with self._lock:
            self._accepted = credentials
            if self._current in refused and self._passed_over != self._current:
                self._passed_over = self._current
                log.warning("API key refused, the one before it works; is the file complete?")

    def has_another_than(self, refused: Collection[Credentials], deadline: Deadline) -> bool:
        """Read the file again, and tell whether there is a key that was not refused.

        Read whatever its state says: one changed twice within a tick of the clock may look alike.
        And again for the moment after a key's first refusal: its successor may be on its way.
        """
        if self._path is None:
            return False
        patience = deadline.within(self._patience_with(self._current))
        while not self._knows_another_than(refused, self._path):
            if not patience.remaining():
                return False
            patience.pause(threading.Event(), self._timing.credentials_poll)
        return True

    def _patience_with(self, refused: Credentials) -> float:
        with self._lock:
            if refused != self._refused:
                self._refused, self._refused_at = refused, time.monotonic()
            return self._refused_at + self._timing.credentials_wait - time.monotonic()

    def _knows_another_than(self, refused: Collection[Credentials], path: Path) -> bool:
        any(self._read(path) for _ in range(_READS))
        with self._lock:
            return any(each not in refused for each in self._by_preference())

    def _by_preference(self) -> tuple[Credentials, ...]:
        if self._accepted is None:
            return (self._current,)
        if self._current == self._passed_over:
            return (self._accepted, self._current)
        return (self._current, self._accepted)

    def _read(self, path: Path) -> bool:
        """Take over what the file holds, and tell whether it was all of one state."""
        state = _state_of(path)
        found, trouble = None, ""
        try:
            found = read_credentials(path)
        except ValueError as error:
            trouble = str(error)
        if _state_of(path) != state:
            return False  # half of it may be new: the next request reads again
        with self._lock:
            is_news, self._seen = state != self._seen, state
            is_other = found is not None and found != self._current
            self._current = found or self._current
        if is_other:
            log.info("API key changed", extra={"path": str(path)})
        elif is_news and trouble:
            log.error("credentials unreadable, the old key stays", extra={"error": trouble})
        return True


def _state_of(path: Path) -> _State:
    """Return the state of the file, or of the two in the folder; empty where there is nothing."""
    try:
        files = [path / KEY_VARIABLE, path / SECRET_VARIABLE] if path.is_dir() else [path]
        stats = [file.stat() for file in files]
    except OSError:
        return ()
    return tuple((each.st_dev, each.st_ino, each.st_mtime_ns, each.st_size) for each in stats)
