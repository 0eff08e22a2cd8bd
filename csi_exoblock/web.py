"""The HTTP endpoint, on the standard library's server: answers GET, perhaps over TLS."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a path shows."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class WebServer:
    """Serves on one address, each connection in a thread of its own.

    Args:
        address: Host and port; an empty host means every address of this machine.
        answer: Tells what a path shows, without the query.
        identity: Files with certificate and key, for TLS.
        patience_seconds: How long a client may say nothing.
    """

    def __init__(
        self,
        *,
        address: tuple[str, int],
        answer: Callable[[str], Answer],
        identity: tuple[Path, Path] | None,
        patience_seconds: float,
    ) -> None:
        self._address = address
        self._handler = _handler(answer)
        self._identity = identity
        self._patience_seconds = patience_seconds

    def start(self) -> None:
        """Listen, until the process ends.

        Raises:
            OSError: The address can't be had.
        """
        server = _Server(
            _listening(self._address), self._handler, self._identity, self._patience_seconds
        )
        threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
        log.info("serving probes", extra={"address": str(server.server_address[:2])})


class _Server(ThreadingHTTPServer):
    def __init__(
        self,
        listener: socket.socket,
        handler: type[BaseHTTPRequestHandler],
        identity: tuple[Path, Path] | None,
        patience_seconds: float,
    ) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._identity = identity
        self._patience_seconds = patience_seconds

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer in the connection's own thread, so that no handshake holds up the others."""
        request.settimeout(self._patience_seconds)
        with self._secured(request) as client:
            super().finish_request(client, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what `socketserver` would print; a client that leaves or dawdles is no error."""
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("client left without an answer", extra={"error": str(error)})
        else:
            log.error("request not answered", exc_info=error)

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._identity is None:
            return connection
        import ssl  # not before it is needed, and with the certificate that is there now

        certificate, key = self._identity
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context.wrap_socket(connection, server_side=True)


def _handler(answer: Callable[[str], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = answer(self.path.partition("?")[0])
            self.send_response(shown.status)
            self.send_header("Content-Type", shown.content_type)
            self.send_header("Content-Length", str(len(shown.body)))
            self.end_headers()
            self.wfile.write(shown.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: kubelet asks every few seconds."""

    return Handler


def _listening(address: tuple[str, int]) -> socket.socket:
    host, _ = address
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server(address, family=family)
