"""Hear of every step that a driver takes, and decide whether it goes on."""

from __future__ import annotations

import pathlib
import socketserver
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

GO, DIE = b"on\n", b"die"
TURN = "its turn has come"
"""What is told of a job that may begin now; it is no step of the driver's own."""

OnStep = Callable[[str, str, str], bool]
"""Is given volume, RPC and step, may do what it likes meanwhile, and says whether it goes on."""


class Steps:
    """Listens at a socket; one thread for each thread of a driver.

    Attributes:
        failures: What went wrong with the harness itself.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.failures: list[BaseException] = []
        self.on_step: OnStep = lambda *_: True
        steps = self

        class Line(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    volume, rpc, step = line.decode().rstrip("\n").split(" ", 2)
                    self.wfile.write(GO if steps.on_step(volume, rpc, step) else DIE)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                error = sys.exception()
                if error and not isinstance(error, ConnectionError):  # the driver died meanwhile
                    steps.failures.append(error)

        self._server = Server(str(path), Line)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
