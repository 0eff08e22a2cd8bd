"""A server that answers each request as a script says: for faults below the API.

with ScriptedServer() as server:
    server.script += [Drop(), Answer(503), Answer(200, body=b"{}")]
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from tests.support.played_server import PlayedHandler, PlayedServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in; `port` tells the connections of the client apart."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Attributes:
        length: The Content-Length that it claims; that of the body if None.
        then_close: Whether the connection ends afterwards, without a word.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    then_close: bool = False

    def give(self, handler: _Handler) -> None:
        if "Date" in self.headers:
            handler.send_response_only(self.status)
        else:
            handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(self.length or len(self.body)))
        handler.end_headers()
        handler.wfile.write(self.body)
        handler.close_connection = self.then_close


@dataclass(frozen=True, slots=True)
class Drop:
    """No answer: the connection is closed."""

    def give(self, handler: _Handler) -> None:
        handler.close_connection = True


@dataclass(frozen=True, slots=True)
class Gibberish:
    """An answer that is no HTTP."""

    def give(self, handler: _Handler) -> None:
        handler.wfile.write(b"\0\1\2 no HTTP at all\r\n\r\n")
        handler.close_connection = True


@dataclass(frozen=True, slots=True)
class Hold:
    """An answer that comes when the gate opens; the server opens it when it stops."""

    gate: threading.Event
    answer: Answer = field(default_factory=Answer)

    def give(self, handler: _Handler) -> None:
        handler.owner.gates.append(self.gate)
        self.gate.wait()
        self.answer.give(handler)


@dataclass(frozen=True, slots=True)
class Trickle:
    """An answer that comes byte by byte and never ends by itself."""

    def give(self, handler: _Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**9))
        handler.end_headers()
        while not handler.owner.stopping.wait(0.01):
            handler.wfile.write(b" ")


@dataclass(frozen=True, slots=True)
class DripHeaders:
    """An answer whose headers come byte by byte and never end by themselves."""

    beginning: bytes = b"HTTP/1.1 200 OK\r\nX: "

    def give(self, handler: _Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(self.beginning)
        while not handler.owner.stopping.wait(0.01):
            handler.wfile.write(b"x")


Step = Answer | Drop | DripHeaders | Gibberish | Hold | Trickle


class ScriptedServer(PlayedServer):
    """A server that takes a step of its script for each request, and answers 200 `{}` after it."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.script: list[Step] = []
        self.received: list[Received] = []
        self.arrived = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)
        self.gates: list[threading.Event] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for gate in self.gates:
            gate.set()
        super().__exit__(kind, error, trace)

    def connection_closed(self) -> None:
        """Count a closed connection."""
        self.closed.release()

    @property
    def url(self) -> str:
        """Its address, such as `http://127.0.0.1:40123`."""
        return f"http://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.host, self.port

    def step(self) -> Step:
        """Take the next step of the script."""
        return self.script.pop(0) if self.script else Answer()


class _Handler(PlayedHandler[ScriptedServer]):
    def _answer(self) -> None:
        self.owner.received.append(
            Received(
                method=self.command,
                path=self.path,
                headers=dict(self.headers),
                body=self.body(),
                port=self.client_address[1],
            )
        )
        self.owner.arrived.release()
        self.owner.step().give(self)

    def do_CONNECT(self) -> None:
        """Answer what a proxy is asked."""
        self.owner.arrived.release()
        self.owner.step().give(self)

    do_GET = do_POST = do_PUT = do_DELETE = _answer
