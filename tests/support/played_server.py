"""The frame of an HTTP server that a test plays: threads, and a handler that knows its server."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Generic, Self, TypeVar

Owner = TypeVar("Owner", bound="PlayedServer")


class PlayedServer:
    """Serves HTTP on a free port, in a thread, while its context lasts.

    Attributes:
        stopping: Is set when the server stops, which must end every answer.
    """

    def __init__(self, handler: type[PlayedHandler[Self]], *, host: str = "127.0.0.1") -> None:
        self.host = host
        self.stopping = threading.Event()
        self.http = _HttpServer(self, handler, host)
        self.port: int = self.http.server_address[1]
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self.http.shutdown()
        self._thread.join()
        self.http.server_close()

    def connection_closed(self) -> None:
        """Take note that a connection is closed."""


class PlayedHandler(BaseHTTPRequestHandler, Generic[Owner]):
    """Handles the requests of one connection; its methods `do_…` are the subclass's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the body would wait for 40 ms behind its head
    server: _HttpServer[Owner]

    @property
    def owner(self) -> Owner:
        """The server whose request this is."""
        return self.server.owner

    def body(self) -> bytes:
        """Read the request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class _HttpServer(ThreadingHTTPServer, Generic[Owner]):
    daemon_threads = True  # kept-alive connections wait for requests that never come

    def __init__(self, owner: Owner, handler: type[PlayedHandler[Owner]], host: str) -> None:
        self.owner = owner
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), handler)

    def shutdown_request(self, request: object) -> None:
        super().shutdown_request(request)  # type: ignore[arg-type] # a socket, says the base less
        self.owner.connection_closed()

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: many tests are about a client that hangs up."""
