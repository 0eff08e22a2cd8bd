"""The farewell of an uninstalled node plugin to kubelet: its socket goes and does not come back.

The pre-stop hook and the plugin are two processes. The plugin restores its socket when it vanishes,
so the hook leaves a note beside the socket. The next plugin that starts here removes the note.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


class Farewell:
    """The note beside a registration socket, under a name that kubelet ignores.

    Args:
        socket: The plugin's registration socket.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._note = socket.with_name(f".{socket.name}.left")

    def say(self) -> None:
        """Remove the socket for good, so that kubelet forgets the plugin.

        Raises:
            OSError: The note can't be written, or the socket can't be removed.
        """
        self._note.touch()
        self._socket.unlink(missing_ok=True)

    def was_said(self) -> bool:
        """Return whether the plugin must not restore its socket."""
        return self._note.exists()

    def forget(self) -> None:
        """Remove the note: a plugin has started here again."""
        with contextlib.suppress(OSError):  # there is no folder yet
            self._note.unlink(missing_ok=True)
