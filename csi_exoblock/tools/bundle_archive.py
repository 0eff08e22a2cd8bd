"""The file that `doctor --bundle` writes: a compressed tar archive without secrets (F12)."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from csi_exoblock.errors import DriverError
from csi_exoblock.tools.bundle_redaction import Redaction

# What one file, and all together, may have before they are compressed.
_FILE_BYTES = 2 * 1024 * 1024
_ALL_BYTES = 64 * 1024 * 1024
_FOLDER = "csi-exoblock"


class Archive:
    """Collects texts, all of them redacted. What could not be read is a line in the contents."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._files: dict[str, bytes] = {}
        self._gaps: list[str] = []

    def add(self, name: str, content: str) -> None:
        """Add a text under a name; of one that is too long, its last lines."""
        self._keep(name, _last_lines(self._redaction.text(content).encode(errors="replace")))

    def add_json(self, name: str, content: object) -> None:
        """Add a value as JSON."""
        self._keep(name, json.dumps(self._redaction.value(content), indent=2).encode())

    def miss(self, what: str, why: str) -> None:
        """Note that something is not in the archive."""
        self._gaps.append(self._redaction.text(f"not collected: {what}: {' '.join(why.split())}"))

    def collect(self, what: str, read: Callable[[], None]) -> None:
        """Run a function that adds something; note it as missing if that fails."""
        try:
            read()
        except (DriverError, OSError) as error:
            self.miss(what, str(error))

    def closed(self, heading: str) -> bytes:
        """Return the archive's bytes, with a page of contents that begins with the heading."""
        sizes = [f"{len(content):>9} {name}" for name, content in sorted(self._files.items())]
        contents = "\n".join([heading, "", *sizes, "", *self._gaps]).rstrip() + "\n"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, content in {"contents.txt": contents.encode(), **self._files}.items():
                entry = tarfile.TarInfo(f"{_FOLDER}/{name}")
                entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
                tar.addfile(entry, io.BytesIO(content))
        return packed.getvalue()

    def _keep(self, name: str, content: bytes) -> None:
        if sum(map(len, self._files.values())) + len(content) > _ALL_BYTES:
            self.miss(name, f"the archive has {_ALL_BYTES >> 20} MiB already")
        else:
            self._files[name] = content


def require_new(path: Path) -> None:
    """Raise OSError unless a new file can be written at a path."""
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already, and is not overwritten")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise NotADirectoryError(f"{path.parent} is no folder in which a file can be written")


def write_new(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, whole or not at all.

    Raises:
        FileExistsError: There is a file of that name; it is left as it is.
        OSError: It can't be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        require_new(path)
        # The name is taken before it is replaced, so that no other's file is ever lost.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            Path(name).replace(path)
        except OSError:
            path.unlink()
            raise
    finally:
        Path(name).unlink(missing_ok=True)


def _last_lines(content: bytes) -> bytes:
    """Return the end of a text, from a line's beginning on: half a secret would not be found."""
    if len(content) <= _FILE_BYTES:
        return content
    return content[-_FILE_BYTES:].partition(b"\n")[2]
