"""An API server of Kubernetes that tests play: real TLS, a few objects, and all that goes wrong.

with ApiServer(folder) as server:
    server.objects["/api/v1/nodes/here"] = {"spec": {"providerID": "exoscale://…"}}
    server.next("/api/v1/nodes/here", Status(500), Hang())
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.chart.schemas.requests import not_served
from tests.support.played_server import PlayedHandler, PlayedServer

TOKEN = "first"
REVIEWS = "/apis/authorization.k8s.io/v1/"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: object


@dataclass(frozen=True, slots=True)
class Status:
    """An answer of the API server's own form, whatever it is about."""

    code: int
    message: str = "as the test wants it"

    def give(self, handler: _Handler) -> None:
        handler.answer(self.code, {"kind": "Status", "message": self.message})


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes in place of an answer, then the end of the connection."""

    data: bytes

    def give(self, handler: _Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(self.data)


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, for as long as the client waits."""

    def give(self, handler: _Handler) -> None:
        handler.close_connection = True
        handler.owner.stopping.wait()


@dataclass(frozen=True, slots=True)
class Drip:
    """An answer that comes byte by byte and never, or much later, ends by itself.

    Attributes:
        head: What comes at once.
        drop: What comes after each pause.
        drops: How many.
    """

    head: bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    drop: bytes = b"1\r\n \r\n"
    pause_seconds: float = 0.01
    drops: int = 1_000_000

    def give(self, handler: _Handler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(self.head)
            for _ in range(self.drops):
                if handler.owner.stopping.wait(self.pause_seconds):
                    break
                handler.wfile.write(self.drop)


@dataclass(frozen=True, slots=True)
class Huge:
    """An answer that has no end and comes as fast as it is read."""

    def give(self, handler: _Handler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not handler.owner.stopping.is_set():
                handler.wfile.write(b" " * 65536)


@dataclass(frozen=True, slots=True)
class Chunked:
    """The object itself, in chunks of a few bytes."""

    found: Object

    def give(self, handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        body = json.dumps(self.found).encode()
        for at in range(0, len(body), 7):
            chunk = body[at : at + 7]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.wfile.write(b"0\r\n\r\n")


Step = Status | Raw | Hang | Drip | Huge | Chunked


class ApiServer(PlayedServer):
    """The server, and the folder that kubelet would mount into its clients' containers.

    Args:
        folder: Gets `authority`, which vouches for the server, and `account`, the service account.
        host: The address to listen at.

    Attributes:
        objects: By path; what is not here does not exist.
        lists: The items of each list, by path.
        texts: What is no JSON, such as logs, by path.
        tokens: Those that are known.
        denied: Method and path of what nobody may do.
        withheld: Rights that an access review denies: the account as `<namespace>/<name>`, empty
            for the client itself, the verb and the resource.
        expired: Tokens by which a list can't be continued; each is refused once.
        received: Every request.
        before_patch: What somebody else does just before the next change; it is done once.
    """

    def __init__(self, folder: pathlib.Path, host: str = "127.0.0.1") -> None:
        super().__init__(_Handler, host=host)
        self.objects: dict[str, Object] = {}
        self.lists: dict[str, list[Object]] = {}
        self.texts: dict[str, str] = {}
        self.tokens = {TOKEN}
        self.denied: set[tuple[str, str]] = set()
        self.withheld: set[tuple[str, str, str]] = set()
        self.received: list[Received] = []
        self.expired: set[str] = set()
        self.before_patch: Callable[[], object] | None = None
        self.lock = threading.Lock()
        self._steps: dict[str, list[Step]] = {}
        self.account = folder / "account"
        self.account.mkdir()
        self.write_token(TOKEN)
        authority = make_authority(folder, host)
        (self.account / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority / "server.crt", authority / "server.key")
        self.http.socket = context.wrap_socket(
            self.http.socket, server_side=True, do_handshake_on_connect=False
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; raise AssertionError if a Kubernetes that is supported lacks what was asked for."""
        super().__exit__(kind, error, trace)
        if kind is None:
            assert not (unknown := list(not_served(each.path for each in self.received))), unknown

    @property
    def environment(self) -> dict[str, str]:
        """What kubelet tells a container."""
        return {
            "KUBERNETES_SERVICE_HOST": self.host,
            "KUBERNETES_SERVICE_PORT": str(self.port),
            "CSI_EXOBLOCK_SERVICE_ACCOUNT_PATH": str(self.account),
        }

    def write_token(self, token: str) -> None:
        """Put another token where kubelet puts it."""
        (self.account / "token").write_text(token)

    def next(self, path: str, *steps: Step) -> None:
        """Have the next requests for a path answered so."""
        with self.lock:
            self._steps.setdefault(path, []).extend(steps)

    def always(self, path: str, step: Step | None) -> None:
        """Have every request for a path answered so, `None` for as usual."""
        with self.lock:
            self._steps[path] = [step] * 10_000 if step else []

    def step(self, path: str) -> Step | None:
        """Take what a path's next request is answered with."""
        with self.lock:
            steps = self._steps.get(path)
            return steps.pop(0) if steps else None

    def count(self, method: str, path: str) -> int:
        """Return how often something was asked."""
        return sum((each.method, each.path) == (method, path) for each in self.received)

    def page(self, path: str, query: Mapping[str, str]) -> Object:
        """Return a page of a list, of the objects with the labels that the query selects."""
        wanted = [
            each.split("=") for each in filter(None, query.get("labelSelector", "").split(","))
        ]
        items = [
            each
            for each in self.lists[path]
            if all(each["metadata"].get("labels", {}).get(name) == value for name, value in wanted)
        ]
        begin = int(query.get("continue", "0"))
        end = begin + int(query.get("limit", len(items) or 1))
        more = {"continue": str(end)} if end < len(items) else {}
        return {"kind": "List", "metadata": more, "items": items[begin:end]}

    def review(self, spec: Mapping[str, Any]) -> bool:
        """Return whether an access review allows something."""
        asked = spec["resourceAttributes"]
        account = "/".join(spec.get("user", "").split(":")[2:])
        resource = "/".join(filter(None, [asked["resource"], asked["subresource"]]))
        return (account, asked["verb"], resource) not in self.withheld

    def patch(self, path: str, changes: list[Object]) -> Object | None:
        """Change an object's field as a JSON patch says, `None` where a test in it fails."""
        with self.lock:
            if (somebody_else := self.before_patch) is not None:
                self.before_patch = None
                somebody_else()
            for change in changes:
                *parents, last = change["path"].strip("/").split("/")
                place = self.objects[path]
                for each in parents:
                    place = place[each]
                if change["op"] == "test" and place.get(last) != change["value"]:
                    return None
                if change["op"] == "replace":
                    place[last] = change["value"]
            return self.objects[path]


def make_authority(folder: pathlib.Path, host: str) -> pathlib.Path:
    """Make a certificate authority and a server's certificate for an address; return where."""
    place = folder / "authority"
    place.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl(place, "req", "-x509", *key, "-subj", "/CN=cluster", "-keyout", "ca.key",
            "-out", "ca.crt")  # fmt: skip
    openssl(place, "req", *key[:-2], "-subj", "/CN=apiserver", "-keyout", "server.key",
            "-out", "server.csr")  # fmt: skip
    (place / "names").write_text(f"subjectAltName=IP:{host}\n")
    openssl(place, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.crt")  # fmt: skip
    return place


def openssl(place: pathlib.Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(("openssl", *arguments), cwd=place, check=True, capture_output=True)


class _Handler(PlayedHandler[ApiServer]):
    def end_headers(self) -> None:
        """End the headers, and say that the connection ends too if the client wanted it, as Go."""
        if self.headers.get("Connection") == "close":
            self.send_header("Connection", "close")
        super().end_headers()

    def answer(self, code: int, found: Object | str) -> None:
        body = (found if isinstance(found, str) else json.dumps(found)).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        sent = self.body()
        request = Received(
            method=self.command,
            path=parts.path,
            query={name: values[0] for name, values in parse_qs(parts.query).items()},
            headers=dict(self.headers),
            body=json.loads(sent) if sent else None,
        )
        self.owner.received.append(request)
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.owner.tokens:
            Status(401, "Unauthorized").give(self)
        elif (self.command, parts.path) in self.owner.denied:
            Status(403, "you may not").give(self)
        elif step := self.owner.step(parts.path):
            step.give(self)
        elif (token := request.query.get("continue", "")) in self.owner.expired:
            self.owner.expired.remove(token)
            Status(410, "the list is too old").give(self)
        elif parts.path in self.owner.texts:
            self.answer(200, self.owner.texts[parts.path])
        elif parts.path in self.owner.lists:
            self.answer(200, self.owner.page(parts.path, request.query))
        elif self.command == "POST" and parts.path.startswith(REVIEWS):
            content = json.loads(sent)
            allowed = self.owner.review(content["spec"])
            self.answer(201, {**content, "status": {"allowed": allowed}})
        elif parts.path not in self.owner.objects:
            Status(404, "not found").give(self)
        elif self.command == "PATCH":
            found = self.owner.patch(parts.path, json.loads(sent))
            self.answer(200, found) if found else Status(422, "test failed").give(self)
        else:
            self.answer(200, self.owner.objects[parts.path])

    do_GET = do_PATCH = do_POST = _serve
