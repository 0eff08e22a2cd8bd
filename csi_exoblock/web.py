"""A small HTTP server: answers GET, one request for each connection.

Our own, because `http.server` imports a mail parser and more: 2 MiB on every node.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded

log = logging.getLogger(__name__)

_HEAD_BYTES = 8192
_CHUNK_BYTES = 2048
_PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a path shows.

    Attributes:
        status: Code and phrase.
    """

    status: str
    body: str
    content_type: str = _PLAIN

    def encode(self) -> bytes:
        """Return it as HTTP."""
        body = self.body.encode()
        head = (
            f"HTTP/1.1 {self.status}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


class WebServer:
    """Serves on one address, each connection in a thread of its own.

    Args:
        address: Host and port; an empty host means every address of this machine.
        answer: Tells what a path shows, without the query.
        identity: Files with certificate and key, for TLS.
        patience_seconds: How long a client may take.
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
        self._answer = answer
        self._identity = identity
        self._patience_seconds = patience_seconds

    def start(self) -> None:
        """Listen, until the process ends.

        Raises:
            OSError: The address can't be had.
        """
        listener = _listening(self._address)
        threading.Thread(target=self._accept, args=(listener,), name="http", daemon=True).start()
        log.info("serving probes", extra={"address": str(listener.getsockname()[:2])})

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                log.warning("no connection accepted", extra={"error": str(error)})
                threading.Event().wait(self._patience_seconds)
                continue
            threading.Thread(
                target=self._serve, args=(connection,), name="http", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(self._patience_seconds)
        try:
            with connection, self._secured(connection) as client:
                client.sendall(self._reply(_first_line(client, self._patience_seconds)).encode())
        except (OSError, DeadlineExceeded) as error:
            log.debug("client left without an answer", extra={"error": str(error)})
        except Exception:  # the top of a thread
            log.exception("request not answered")

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._identity is None:
            return connection
        import ssl  # not before it is needed, and with the certificate that is there now

        certificate, key = self._identity
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context.wrap_socket(connection, server_side=True)

    def _reply(self, line: str) -> Answer:
        method, _, rest = line.partition(" ")
        path, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            return Answer(status="400 Bad Request", body="this is no HTTP\n")
        if method != "GET":
            return Answer(status="405 Method Not Allowed", body="there is only GET\n")
        return self._answer(path.partition("?")[0])


def _first_line(client: socket.socket, patience_seconds: float) -> str:
    """Read a request's head and return its first line."""
    deadline, head = Deadline(patience_seconds), b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
        deadline.check()
        chunk = client.recv(_CHUNK_BYTES)
        if not chunk:
            break
        head += chunk
    return head.partition(b"\r\n")[0].decode("latin-1")


def _listening(address: tuple[str, int]) -> socket.socket:
    host, _ = address
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server(address, family=family)
