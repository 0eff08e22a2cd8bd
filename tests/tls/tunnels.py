"""What may stand between driver and cloud: a server that speaks TLS, and a proxy to reach it by."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

AUTHORITY = Path(__file__).with_name("authority.pem")
"""Vouches for SERVER, whose names are *.cloud.test, localhost and 127.0.0.1."""

SERVER = Path(__file__).with_name("server.pem")
"""A server's key and certificate."""

_CHUNK_BYTES = 65536


class _Listener:
    """Serves each connection in a thread of its own, on a port of 127.0.0.1."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._serve(connection)


class TlsServer(_Listener):
    """Ends TLS and passes on what it carries.

    Args:
        to_port: Where, on 127.0.0.1.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(SERVER)
        super().__init__(self._pass_on)

    def _pass_on(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as client:
            _join(client, socket.create_connection(("127.0.0.1", self._to_port)))


class ConnectProxy(_Listener):
    """An HTTP proxy that tunnels, and the only one who knows where the hosts are.

    Args:
        to_port: Where all of them are, on 127.0.0.1.
        resets: Whether it ends a client's connection by a reset, not in order.

    Attributes:
        asked: The host and port of each tunnel.
        authorizations: What each client said of itself.
    """

    def __init__(self, to_port: int, *, resets: bool = False) -> None:
        self._to_port = to_port
        self._resets = resets
        self.asked: list[str] = []
        self.authorizations: list[str] = []
        super().__init__(self._tunnel)

    def _tunnel(self, client: socket.socket) -> None:
        lines = _head(client)
        method, target, _ = lines[0].split()
        if method != "CONNECT":
            client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        self.asked.append(target)
        self.authorizations.append(fields.get("proxy-authorization", ""))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        host = socket.create_connection(("127.0.0.1", self._to_port))
        if not self._resets:
            _join(client, host)
            return
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        _join(client, host, how=socket.SHUT_RD)  # which sends nothing, so closing it resets it


def _head(client: socket.socket) -> list[str]:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := client.recv(1)):
        head += byte
    return head.decode().split("\r\n")


def _join(one: socket.socket, other: socket.socket, *, how: int = socket.SHUT_RDWR) -> None:
    """Pass everything on in both directions until one side ends.

    Args:
        how: How both are then shut down.
    """
    with other:
        back = threading.Thread(target=_pump, args=(other, one, how), daemon=True)
        back.start()
        _pump(one, other, how)
        back.join()


def _pump(source: socket.socket, sink: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            sink.sendall(chunk)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(how)
