"""Connections of urllib3 with one deadline for everything: name lookup, handshake, headers, body.

By default urllib3 limits each wait for a byte, so a server that sends a byte now and then holds a
request for ever (F18). It also sets no limit on the lookup of a host's address.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from csi_exoblock.exoscale.resolving import Address, Resolver

# With several addresses each gets a share of the time left; a share is at least a third of it.
_ADDRESSES = 3


def pool_classes(resolver: Resolver) -> Mapping[str, type[urllib3.HTTPConnectionPool]]:
    """Return for each URL scheme the pool class whose connections keep the deadline."""

    class Plain(_Timely, HTTPConnection):
        _resolver = resolver

    class Encrypted(_Timely, HTTPSConnection):
        _resolver = resolver

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


class _Left:
    """A time limit that runs from the moment when it is made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def seconds(self) -> float:
        """Return the seconds left, never 0.

        Raises:
            TimeoutError: There are none.
        """
        if (seconds := self._end - time.monotonic()) <= 0.0:
            raise TimeoutError("timed out")
        return seconds


class _Reader(io.RawIOBase):
    """Reads from a socket until its timeout has passed in all, not once for each byte."""

    def __init__(self, stream: io.RawIOBase, sock: socket.socket) -> None:
        self._stream = stream
        self._sock = sock
        self._left = _Left(sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._left.seconds())
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer of the API or of a proxy; the time limit also covers its headers."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


if TYPE_CHECKING:
    _Connection = HTTPConnection
else:
    _Connection = object


class _Timely(_Connection):
    """A connection whose `timeout` limits all of the connecting, and then all of the answer.

    Whatever keeps it from being made is a ConnectTimeoutError, but an error of TLS. So a request
    that was certainly not sent can be told from one whose answer was lost (C1).
    """

    response_class = _Response
    _resolver: Resolver
    _left: _Left

    def _new_conn(self) -> socket.socket:
        self._left = _Left(float(self.timeout or 0.0))
        try:
            addresses = self._resolver.addresses(self._dns_host, self.port, self._left.seconds())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        return self._connect_to_one_of(addresses)

    def _connect_to_one_of(self, addresses: list[Address]) -> socket.socket:
        failure: OSError = OSError(f"{self.host} has no address")
        for tried, (family, address) in enumerate(addresses):
            share = min(_ADDRESSES, len(addresses) - tried)
            try:
                sock = _connected(family, address, self._left.seconds() / share)
                sock.settimeout(self._left.seconds())
            except OSError as error:
                failure = error
            else:
                return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"connection to {self.host} timed out") from failure
        raise NewConnectionError(self, str(failure)) from failure

    def _tunnel(self) -> None:
        self.sock.settimeout(self._left.seconds())
        try:
            super()._tunnel()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "the proxy made no tunnel in time") from error
        except (OSError, http.client.HTTPException) as error:
            raise NewConnectionError(self, f"the proxy made no tunnel: {error}") from error
        self.sock.settimeout(self._left.seconds())


def _connected(
    family: socket.AddressFamily, address: tuple[str | int | bytes, ...], seconds: float
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock
