"""Tell whether a mounted file system still works (D7)."""

from __future__ import annotations

import os
from pathlib import Path

from csi_exoblock.host.mounts import Mount
from csi_exoblock.host.workers import Workers

# How ext4 shows that it has given up, where it doesn't turn to `ro`.
_GIVEN_UP = frozenset({"emergency_ro", "shutdown"})


class Liveness:
    """Looks at file systems the way their users do, for the kernel's tables may still say rw."""

    def __init__(self, *, workers: Workers[None]) -> None:
        self._workers = workers

    def why_unusable(self, mount: Mount, *, writing: bool) -> str | None:
        """Return what is wrong with a mounted file system, `None` if nothing is.

        Raises:
            HostError: It doesn't answer at all.
        """
        if given_up := mount.super_options & _GIVEN_UP:
            return f"the kernel has shut it down ({', '.join(given_up)})"
        if writing and "ro" in mount.super_options | mount.options:
            return "it is read-only"
        try:
            self._workers.run(f"the file system at {mount.target}", lambda: _look(mount.target))
        except OSError as error:
            return f"its root can't be read: {error.strerror}"
        return None


def _look(root: Path) -> None:
    root.stat()
    with os.scandir(root) as entries:
        next(entries, None)
