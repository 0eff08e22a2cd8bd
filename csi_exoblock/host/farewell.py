"""How a node plugin that is uninstalled leaves kubelet: its socket goes, and does not come back.

The hook before its end and the plugin are two processes. The plugin makes a socket again that has
vanished, so the hook leaves a note beside it, which the next plugin to start here removes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


class Farewell:
    """The note beside a registration socket, under a name that kubelet ignores.

    Args:
        socket: Where kubelet looks for the plugin.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._note = socket.with_name(f".{socket.name}.left")

    def say(self) -> None:
        """Have kubelet forget the plugin.

        Raises:
            OSError: The note can't be written, or the socket can't be removed.
        """
        self._note.touch()
        self._socket.unlink(missing_ok=True)

    def was_said(self) -> bool:
        """Tell whether the plugin is to stay away."""
        return self._note.exists()

    def forget(self) -> None:
        """Begin as a plugin that is wanted."""
        with contextlib.suppress(OSError):  # there is no folder yet
            self._note.unlink(missing_ok=True)
