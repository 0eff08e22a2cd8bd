"""The HTTP endpoint: answers GET, optionally over TLS, even with many slow or hostile clients."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from csi_exoblock.concurrency import Deadline
from csi_exoblock.logs import Complaint
from csi_exoblock.pool import Pool
from csi_exoblock.threads import begin_thread
from csi_exoblock.timing import ProcessTiming

if TYPE_CHECKING:
    import ssl

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 16
_HEAD_BYTES = 16 * 1024
# How much more of a request that is too long is read, so that the client can read the answer.
_REST_BYTES = 1024 * 1024
_CHUNK_BYTES = 4096
_ENDS = (b"\r\n\r\n", b"\n\n")
_WORDS = 3  # method, target, version
_TOO_LONG = (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer over HTTP."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class WebServer:
    """Serves one address with few connections at once and a short time limit for each (F18).

    When all places are taken, the oldest connection is ended. So kubelet's probes, which send their
    request at once and read the answer, always find a place beside any number of slow clients.

        ...  # 16 clients connect and send nothing: all places are taken
        ...  # kubelet connects: the oldest client is ended, and kubelet gets its place
        ...  # 5 seconds later the others have used up their time, and are ended too

    Args:
        address: Host and port; an empty host means every address of this machine.
        answer: Returns the answer for a path, which comes without its query.
        identity: Files with certificate and key for TLS, `None` for plain HTTP.
    """

    def __init__(
        self,
        *,
        address: tuple[str, int],
        answer: Callable[[str], Answer],
        identity: tuple[Path, Path] | None,
        timing: ProcessTiming,
    ) -> None:
        self._address = address
        self._answer = answer
        self._identity = _Identity(*identity) if identity else None
        self._timing = timing
        self._pool = Pool(_MOST_CONNECTIONS, name="http")
        self._places = threading.Semaphore(_MOST_CONNECTIONS)
        self._lock = threading.Lock()
        self._open: dict[_Client, None] = {}  # the oldest first

    def start(self) -> None:
        """Listen until the process ends.

        Raises:
            OSError: The address can't be bound.
            HostError: The host has no threads left.
        """
        listener = _listening(self._address)
        self._pool.start()
        begin_thread(lambda: self._accept_all(listener), name="http")
        log.info("serving probes", extra={"address": str(listener.getsockname()[:2])})

    def _accept_all(self, listener: socket.socket) -> None:
        pause = threading.Event()
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:  # out of descriptors, or the client has gone already
                log.debug("no connection accepted", extra={"error": str(error)})
                self._end_oldest()
                pause.wait(self._timing.http_pause)
            else:
                self._take(_Client(connection, Deadline(self._timing.http_patience)))

    def _take(self, client: _Client) -> None:
        """Give a client a free place, or the place of the oldest client, and begin to serve it."""
        while not self._places.acquire(blocking=False):
            self._end_oldest()
            if self._places.acquire(timeout=self._timing.http_pause):
                break
        with self._lock:
            self._open[client] = None
        self._pool.submit(self._serve, client)

    def _end_oldest(self) -> None:
        with self._lock:
            if oldest := next(iter(self._open), None):
                del self._open[oldest]
                oldest.end()

    def _serve(self, client: _Client) -> None:
        try:
            if self._identity is not None:
                client.secure(self._identity.context())
            client.send(self._answer_to(client.read_head()))
        except OSError as error:  # a client that leaves or is slow is no error of the driver
            log.debug("client left without an answer", extra={"error": str(error)})
        except Exception:  # the top of a thread's work
            log.exception("request not answered")
        finally:
            with self._lock:
                self._open.pop(client, None)
                client.close()
            self._places.release()

    def _answer_to(self, head: bytes) -> Answer:
        line, ending, _ = head.partition(b"\n")
        words = line.decode("latin-1").split()
        if not ending and len(head) == _HEAD_BYTES:
            return _refusal(HTTPStatus.REQUEST_URI_TOO_LONG)
        if len(words) != _WORDS or not words[2].startswith("HTTP/1."):
            return _refusal(HTTPStatus.BAD_REQUEST)
        if not any(end in head for end in _ENDS):
            return _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if words[0] != "GET":
            return _refusal(HTTPStatus.NOT_IMPLEMENTED)
        return self._answer(words[1].partition("?")[0])


class _Identity:
    """A certificate and its key, read again when their files change.

    Files that can't be used, such as a key of another certificate, change nothing: else kubelet's
    probes, which come over TLS too, would end every healthy process for the sake of its metrics.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._lock = threading.Lock()
        self._read: tuple[object, ...] = ()
        self._context: ssl.SSLContext | None = None
        self._complaint = Complaint(
            log, "the certificate can't be used, the last one stays", level=logging.ERROR
        )

    def context(self) -> ssl.SSLContext:
        """Return the present identity as a server shows it.

        Raises:
            OSError: The files never could be used.
        """
        with self._lock:
            last = self._context
            try:
                states = [each.stat() for each in self._files]
                now = tuple((each.st_ino, each.st_mtime_ns) for each in states)
                if last is None or now != self._read:
                    last = self._context = _load(*self._files)
                    self._read = now
                    self._complaint.end()
            except OSError as error:
                if last is None:
                    raise
                self._complaint.say(str(error))
            return last


def _load(certificate: Path, key: Path) -> ssl.SSLContext:
    import ssl  # only if needed, to save memory

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


class _Client:
    """A connection and its deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._socket = connection
        self._deadline = deadline

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        secured = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket = secured
        secured.settimeout(self._seconds_left())
        secured.do_handshake()

    def read_head(self) -> bytes:
        """Return the request's first line and headers, cut at the limit.

        Raises:
            OSError: The client has gone, or took too long.
        """
        head = b""
        while not any(end in head for end in _ENDS) and len(head) < _HEAD_BYTES:
            self._socket.settimeout(self._seconds_left())
            if not (chunk := self._socket.recv(_CHUNK_BYTES)):
                break
            head += chunk
        return head[:_HEAD_BYTES]

    def send(self, answer: Answer) -> None:
        """Send an answer; make sure that the client can read it even if its request goes on.

        Raises:
            OSError: The client has gone, or took too long.
        """
        head = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
            f"Content-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        self._socket.settimeout(self._seconds_left())
        self._socket.sendall(head.encode() + answer.body)
        if answer.status in _TOO_LONG:
            self._read_on()

    def _read_on(self) -> None:
        """Read the rest of a request that is too long; unread, it would reset the connection."""
        socket.socket.shutdown(self._socket, socket.SHUT_WR)
        for _ in range(_REST_BYTES // _CHUNK_BYTES):
            self._socket.settimeout(self._seconds_left())
            if not self._socket.recv(_CHUNK_BYTES):
                return

    def end(self) -> None:
        """Shut the connection down, so that a thread that reads or writes on it returns."""
        with contextlib.suppress(OSError):  # it has gone already
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not TLS's, which would talk

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _seconds_left(self) -> float:
        if seconds := self._deadline.remaining():
            return seconds
        raise TimeoutError("the client took too long")


def _refusal(status: HTTPStatus) -> Answer:
    return Answer(status=status, body=f"{status.phrase}; GET is answered\n".encode())


def _listening(address: tuple[str, int]) -> socket.socket:
    host, _ = address
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server(address, family=family)
