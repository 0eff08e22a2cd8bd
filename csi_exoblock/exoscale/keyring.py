"""The key that signs requests; a changed key file takes effect without a restart (F1)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.credentials import KEY_VARIABLE, SECRET_VARIABLE, Credentials, read_credentials
from csi_exoblock.timing import CloudTiming

log = logging.getLogger(__name__)

_READS = 3  # attempts to read the file, because it can change during one of them

_State = tuple[tuple[int, int, int, int], ...]
"""Device, inode, time of change and size of each file: if they differ, the file has changed."""


class Keyring:
    """Holds the current API key, and checks before each request whether its file has changed.

    If the file can't be read any more, that is logged once and the old key stays in use. If the API
    refuses the key in the file, the last accepted key stays in use: the two files of a folder are
    written one after the other, so the new key can be read together with the old secret.

        keyring.current()             # the key in the file: the caller signs with it
        keyring.accepted(old, ())     # the API took it
        ...                           # the file gets a new key, whose secret is not written yet
        keyring.current()             # the new key with the old secret: the API refuses it
        keyring.has_another_than([broken], deadline)  # reads the file again: there is the old key
        keyring.current([broken])     # the old key, which still works
        keyring.accepted(old, [broken])  # from now on the old key comes first
        ...                           # the secret is written: current() returns the new pair

    Args:
        first: The key as it was read at start.
        path: The file or folder that will hold later keys; `None` for a key that never changes.
    """

    def __init__(self, first: Credentials, path: Path | None, *, timing: CloudTiming) -> None:
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
            refused: Keys with which the same request was signed and refused before.
        """
        if self._path is not None and _state_of(self._path) != self._seen:
            self._read(self._path)
        with self._lock:
            return next(
                (each for each in self._by_preference() if each not in refused), self._current
            )

    def accepted(self, credentials: Credentials, refused: Collection[Credentials]) -> None:
        """Note that the API accepted a request that was signed with this key.

        Args:
            refused: Keys with which the same request was signed and refused before.
        """
        with self._lock:
            self._accepted = credentials
            if self._current in refused and self._passed_over != self._current:
                self._passed_over = self._current
                log.warning("new API key refused, old key works; is the file complete?")

    def has_another_than(self, refused: Collection[Credentials], deadline: Deadline) -> bool:
        """Read the file again, and return whether there is a key that was not refused.

        The file is read even if it looks unchanged: two changes within one tick of the clock look
        alike. After a key's first refusal it is read again for up to `Timing.credentials_wait`,
        because the next key might be about to be written.
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
        """Read the key from the file; return whether the file stayed the same meanwhile."""
        state = _state_of(path)
        found, trouble = None, ""
        try:
            found = read_credentials(path)
        except ValueError as error:
            trouble = str(error)
        if _state_of(path) != state:
            return False  # half of the key might be new: the next request reads again
        with self._lock:
            is_news, self._seen = state != self._seen, state
            is_other = found is not None and found != self._current
            self._current = found or self._current
        if is_other:
            log.info("API key changed", extra={"path": str(path)})
        elif is_news and trouble:
            log.error("credentials unreadable, old key stays in use", extra={"error": trouble})
        return True


def _state_of(path: Path) -> _State:
    """Return the state of the file, or of the folder's two files; empty if there is none."""
    try:
        files = [path / KEY_VARIABLE, path / SECRET_VARIABLE] if path.is_dir() else [path]
        stats = [file.stat() for file in files]
    except OSError:
        return ()
    return tuple((each.st_dev, each.st_ino, each.st_mtime_ns, each.st_size) for each in stats)
