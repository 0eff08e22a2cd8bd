"""One HTTP request to a server, with one deadline for all of it and a bounded answer.

`http.client` itself has a limit only for each wait for a byte, so a server that sends a byte now
and then could hold a request for ever. It limits neither the size of an answer nor the time that
connecting to many addresses takes.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from csi_exoblock.concurrency import Deadline

Dial = Callable[[Deadline], socket.socket]
"""Returns a new connection on which HTTP can begin; raises OSError if there is none."""

_HEAD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes


def exchange(
    dial: Dial, request: Request, *, host: str, port: int, deadline: Deadline, most_bytes: int
) -> Answer:
    """Send a request on a new connection, and return the answer.

    Uses only the standard library: `requests` would cost a node 6 MiB (docs/benchmarks.md).

    Args:
        host: The server's name for the header `Host`, with its port.
        most_bytes: The maximum size of the answer's body.

    Raises:
        OSError: The server can't be reached or isn't trusted, or its answer is late, too long or no
            HTTP.
        DeadlineExceeded: The deadline passed before anything was sent.
    """
    connection = _Connection(dial, host, port, deadline, most_bytes)
    try:
        connection.request(
            request.method,
            request.target,
            body=request.body or None,
            headers={**request.headers, "Connection": "close"},
        )
        response = connection.getresponse()
        body = response.read(most_bytes + 1)
    except http.client.HTTPException as error:
        raise OSError(f"the answer is incomplete or no HTTP: {error!r:.200}") from error
    except OSError:  # before ValueError: an error of a certificate is both
        raise
    except ValueError as error:  # a chunk whose length is no number; a header that can't be sent
        raise OSError(f"the request or its answer is no valid HTTP: {error!s:.200}") from error
    finally:
        connection.end()
    if len(body) > most_bytes:
        raise OSError(f"the answer has more than {most_bytes} bytes")
    if response.length:  # bytes are missing; `read` with a size doesn't raise an error then
        raise OSError("the answer ended early")
    return Answer(status=response.status, body=body)


def over_tls(host: str, port: int, context: ssl.SSLContext) -> Dial:
    """Return how to connect to a server over TLS.

    Args:
        host: A name or an address; one of IPv6 without brackets.
        context: The trusted authorities.
    """

    def dial(deadline: Deadline) -> socket.socket:
        plain = _connected(host, port, deadline)
        try:
            plain.settimeout(_left(deadline))
            secured = context.wrap_socket(
                plain, server_hostname=host, do_handshake_on_connect=False
            )
        except BaseException:
            plain.close()
            raise
        try:
            secured.settimeout(_left(deadline))
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured

    return dial


def over_path(path: Path) -> Dial:
    """Return how to connect to a server of this machine that listens at a path."""

    def dial(deadline: Deadline) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(_left(deadline))
            sock.connect(str(path))
        except BaseException:
            sock.close()
            raise
        return sock

    return dial


class _Connection(http.client.HTTPConnection):
    def __init__(
        self, dial: Dial, host: str, port: int, deadline: Deadline, most_bytes: int
    ) -> None:
        super().__init__(host, port, timeout=deadline.check())
        self._dial = dial
        self._deadline = deadline
        self._most_bytes = most_bytes
        self._dialled: socket.socket | None = None
        self.sock: _Limited | None  # as `http.client` calls only its methods

    def connect(self) -> None:
        """Connect as the caller said."""
        self._dialled = self._dial(self._deadline)
        self.sock = _Limited(self._dialled, self._deadline, self._most_bytes)

    def end(self) -> None:
        """Close the socket. `http.client` calls `close` before it reads the answer's body."""
        self.close()
        if self._dialled is not None:
            self._dialled.close()


class _Limited:
    """The methods of a socket that `http.client` calls, under one deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline, most_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._most_bytes = most_bytes

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> IO[bytes]:
        return io.BufferedReader(_Reader(self._sock, self._deadline, self._most_bytes))

    def close(self) -> None:
        """Keep the socket open: the answer's body is still read from it."""


class _Reader(io.RawIOBase):
    """Reads from a socket, up to a deadline and a size."""

    def __init__(self, sock: socket.socket, deadline: Deadline, most_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        # Sent in chunks, one byte of the body can take six.
        self._left_bytes = 8 * most_bytes + _HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._deadline))
        count = self._sock.recv_into(buffer)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise OSError("the answer is too long")
        return count


def _connected(host: str, port: int, deadline: Deadline) -> socket.socket:
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError(f"{host} has no address")
    for tried, (family, _, _, _, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_left(deadline) / (len(addresses) - tried))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _left(deadline: Deadline) -> float:
    if seconds := deadline.remaining():
        return seconds
    raise TimeoutError("no answer in time")
