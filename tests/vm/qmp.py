"""Speak QMP, the protocol by which QEMU is told what to do with its machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ANSWER_SECONDS = 60


class Qmp:
    """A connection to a QEMU. Source: QEMU, docs/interop/qmp-spec."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_ANSWER_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile()
        self._events: list[dict[str, Any]] = []
        self._read()  # the greeting
        self.execute("qmp_capabilities")

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Run a command and return its answer.

        Raises:
            RuntimeError: QEMU refused it.
        """
        request = {"execute": command, "arguments": arguments or {}}
        self._socket.sendall(json.dumps(request).encode())
        while "event" in (message := self._read()):
            self._events.append(message)
        if "error" in message:
            raise RuntimeError(f"{command}: {message['error']['desc']}")
        return message["return"]

    def wait_for(self, event: str, **fields: object) -> None:
        """Return when an event with these fields has come, since the last one waited for."""
        while True:
            for seen in self._events:
                if seen["event"] == event and fields.items() <= seen["data"].items():
                    self._events.remove(seen)
                    return
            self._events.append(self._read())

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionError("QEMU has ended")
        message: dict[str, Any] = json.loads(line)
        return message
