"""Folders whose files survive a power cut (D10, N19)."""

from __future__ import annotations

import os
from pathlib import Path


class DurableFolder:
    """A folder that is made when it is needed; its parent is synced once, for its own name.

        folder.make()
        ...            # make a file in it, and sync that file
        folder.sync()  # now the file's name survives a power cut too

    Attributes:
        path: Where it lies, on a file system that survives the driver.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_kept = False  # whether the folder itself is known to survive

    def make(self) -> None:
        """Make the folder and its parents, unless it exists.

        Raises:
            OSError: It can't be made.
        """
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            if self._is_kept:
                return
        _sync(self.path.parent)
        self._is_kept = True

    def sync(self) -> None:
        """Have the names in the folder survive.

        Raises:
            OSError: They can't be written.
        """
        _sync(self.path)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
