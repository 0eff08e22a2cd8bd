"""Requests over HTTP when the network, the server or the answer is bad."""

from __future__ import annotations

import functools
import gzip
import json
import logging
import socket
import ssl
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    NotFound,
    UnprovenAbsence,
)
from csi_exoblock.exoscale import transport as transport_module
from csi_exoblock.exoscale.session import Proxy
from csi_exoblock.exoscale.transport import Request, Transport
from csi_exoblock.metrics import Metrics
from tests.exoscale.conftest import QUICK, USER_AGENT, MakeTransport
from tests.exoscale.scripted_server import (
    Answer,
    DripHeaders,
    Drop,
    Gibberish,
    Hold,
    ScriptedServer,
    Step,
    Trickle,
)
from tests.support.asking import LONG_SECONDS
from tests.support.metrics import value
from tests.support.simulator_process import API_SECRET
from tests.tls.tunnels import AUTHORITY, ConnectProxy, TlsServer

SHORT_SECONDS = 0.5  # a busy machine connects within it
CERTIFICATE = Path(__file__).with_name("untrusted.pem")

UNAVAILABLE = {
    "500": Answer(500),
    "503": Answer(503),
    "408": Answer(408),
    "429": Answer(429),
    "dropped": Drop(),
    "no HTTP": Gibberish(),
    "no JSON": Answer(body=b"<html>"),
    "cut short": Answer(body=b"{", length=100, then_close=True),
    "wrong form": Answer(body=b'{"id": 7}'),
    "no gzip": Answer(headers={"Content-Encoding": "gzip"}),
    "elsewhere": Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
    "neither yes nor no": Answer(300, b'{"id": "x"}'),
    "empty": Answer(204, body=b""),
}


def read_id(answer: object) -> str:
    """Take the form `{"id": "..."}` for readable, and nothing else."""
    if not isinstance(answer, dict) or not isinstance(answer["id"], str):
        raise TypeError("no id")
    return answer["id"]


def request(server: ScriptedServer, method: str = "GET", **changes: Any) -> Request:
    plain = Request(
        operation="get-block-storage-volume",
        method=method,
        url=f"{server.url}/v2/block-storage/1",
        zone="ch-gva-2",
        subject="volume ch-gva-2/1",
    )
    return replace(plain, **changes)


@pytest.fixture
def transport(make_transport: MakeTransport) -> Transport:
    return make_transport()


@pytest.mark.parametrize("fault", UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_read_is_repeated_until_it_is_answered(
    server: ScriptedServer, transport: Transport, fault: Step
) -> None:
    server.script += [fault, fault, Answer(body=b'{"id": "found"}')]

    found = transport.send(request(server), read_id, Deadline(LONG_SECONDS))

    assert found == "found"
    assert len(server.received) == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "fault",
    [fault for name, fault in UNAVAILABLE.items() if name != "429"],
    ids=[name for name in UNAVAILABLE if name != "429"],
)
def test_write_is_never_repeated_and_may_have_an_effect(
    server: ScriptedServer, transport: Transport, method: str, fault: Step
) -> None:  # C1
    server.script += [fault, Answer(body=b'{"id": "made twice"}')]

    with pytest.raises(ApiUnavailable) as caught:
        transport.send(request(server, method), read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is True
    assert len(server.received) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_write_that_was_one_too_many_is_sent_again(
    server: ScriptedServer, transport: Transport, method: str
) -> None:  # C2: it was turned away unread
    server.script += [Answer(429), Answer(429), Answer(body=b'{"id": "made"}')]

    made = transport.send(request(server, method), read_id, Deadline(LONG_SECONDS))

    assert made == "made"
    assert len(server.received) == 3


def test_write_that_was_one_too_many_and_then_lost_is_not_sent_again(
    server: ScriptedServer, transport: Transport
) -> None:  # C1
    server.script += [Answer(429), Drop()]

    with pytest.raises(ApiUnavailable) as caught:
        transport.send(request(server, "POST"), read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is True
    assert len(server.received) == 2


def test_write_that_found_no_connection_had_no_effect(transport: Transport) -> None:  # C1
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/v2"
        refused = Request(
            operation="op", method="POST", url=nowhere, zone="z", subject="volume z/1"
        )

        with pytest.raises(ApiUnavailable, match=r"no connection.*refused") as caught:
            transport.send(refused, read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is False


def test_lost_write_is_not_excused_by_an_earlier_error_of_its_caller(
    server: ScriptedServer, transport: Transport
) -> None:  # C1: Python links an error to the one that is being handled
    server.script += [Drop()]
    nowhere = request(server, "POST", url="http://127.0.0.1:1/v2")

    try:
        transport.send(nowhere, read_id, Deadline(LONG_SECONDS))
    except ApiUnavailable:
        with pytest.raises(ApiUnavailable) as caught:
            transport.send(request(server, "POST"), read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is True


@pytest.fixture
def tls_url() -> Iterator[str]:
    """A server whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(OSError, match=r"alert|EOF|reset"):
                context.wrap_socket(connection, server_side=True).recv(1)

        thread = threading.Thread(target=shake_hands)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_server_without_a_trusted_certificate_is_told_nothing(
    tls_url: str, transport: Transport
) -> None:  # F2, F18
    untrusted = Request(operation="op", method="POST", url=tls_url, zone="z", subject="volume z/1")

    with pytest.raises(ApiUnavailable, match="CERTIFICATE_VERIFY_FAILED") as caught:
        transport.send(untrusted, read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is False


@pytest.fixture
def breaking_tls() -> Iterator[str]:
    """A server that everybody trusts, whose TLS breaks once it has read a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def read_and_break() -> None:
            connection, _ = listener.accept()
            encrypted = context.wrap_socket(connection, server_side=True)
            encrypted.recv(1)
            with socket.socket(fileno=encrypted.detach()) as plain:
                plain.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

        thread = threading.Thread(target=read_and_break)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_write_whose_tls_breaks_while_its_answer_is_awaited_may_have_an_effect(
    breaking_tls: str, make_transport: MakeTransport
) -> None:  # C1: not each error of TLS is one of the handshake
    transport = make_transport(ca_file=CERTIFICATE)
    sent = Request(operation="op", method="POST", url=breaking_tls, zone="z", subject="volume z/1")

    with pytest.raises(ApiUnavailable, match=r"no answer.*SSL") as caught:
        transport.send(sent, read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is True


@pytest.mark.parametrize(
    "silence",
    [Hold(threading.Event()), Trickle(), DripHeaders(), DripHeaders(b"HTTP/1.1 1")],
    ids=["silent", "byte by byte", "header byte by byte", "status byte by byte"],
)
def test_request_ends_within_its_timeout(
    threads: ThreadPoolExecutor,
    server: ScriptedServer,
    make_transport: MakeTransport,
    silence: Step,
) -> None:  # S5, F18
    transport = make_transport(timing=replace(QUICK, api_timeout=SHORT_SECONDS))
    server.script += [silence]

    sending = threads.submit(
        transport.send, request(server, "PUT"), read_id, Deadline(LONG_SECONDS)
    )

    failure = sending.exception(LONG_SECONDS)
    assert isinstance(failure, ApiUnavailable)
    assert "no answer" in str(failure)
    assert failure.may_have_effect is True


Address = tuple[str, int]


@pytest.fixture
def silent() -> Iterator[Address]:
    """An address that answers no connection, as behind a firewall: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address: Address = full.getsockname()
        with socket.create_connection(address):
            yield address


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have every name stand for addresses."""

    def resolve(*addresses: Address) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", each) for each in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)

    return resolve


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_name_of_which_one_address_is_silent_is_reached_at_another(
    server: ScriptedServer,
    make_transport: MakeTransport,
    silent: Address,
    resolve: Callable[..., None],
    method: str,
) -> None:  # S12
    transport = make_transport(timing=replace(QUICK, api_timeout=9.0))
    server.script += [Answer(body=b'{"id": "it"}')]
    resolve(silent, server.address)

    asked = request(server, method, url="http://api.example/v2")
    assert transport.send(asked, read_id, Deadline(LONG_SECONDS)) == "it"


def test_request_ends_within_its_timeout_though_a_name_has_several_addresses(
    server: ScriptedServer,
    make_transport: MakeTransport,
    silent: Address,
    resolve: Callable[..., None],
) -> None:  # S5
    transport = make_transport(timing=replace(QUICK, api_timeout=1.0))
    resolve(*[silent] * 60)
    began = time.monotonic()

    with pytest.raises(ApiUnavailable, match="no connection"):
        transport.send(request(server, "POST"), read_id, Deadline(LONG_SECONDS))

    assert time.monotonic() - began < 40.0  # a second for each address would be a minute


def test_write_that_has_begun_outlives_a_cancelled_call(
    server: ScriptedServer, transport: Transport, threads: ThreadPoolExecutor
) -> None:  # S5: nobody would know of its effect
    gate, deadline = threading.Event(), Deadline(LONG_SECONDS)
    server.script += [Hold(gate, Answer(body=b'{"id": "made"}'))]
    writing = threads.submit(transport.send, request(server, "POST"), read_id, deadline)
    server.arrived.acquire()

    deadline.cancel()
    gate.set()

    assert writing.result() == "made"


class AlmostOver(Deadline):
    """A deadline with next to no time left, for ever."""

    def remaining(self) -> float:
        return 1e-6


def test_write_is_given_its_time_however_near_the_deadline(
    server: ScriptedServer, transport: Transport
) -> None:  # C1: a lost answer costs more than a late one
    server.script += [Answer(body=b'{"id": "made"}')]

    made = transport.send(request(server, "POST"), read_id, AlmostOver(LONG_SECONDS))

    assert made == "made"


def test_read_is_given_no_more_time_than_the_deadline(
    server: ScriptedServer, transport: Transport
) -> None:
    server.script += [Hold(threading.Event())]

    with pytest.raises(ApiUnavailable, match="timed out"):
        transport.send(request(server), read_id, AlmostOver(LONG_SECONDS))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_sent_without_time(
    server: ScriptedServer, transport: Transport, method: str
) -> None:
    with pytest.raises(DeadlineExceeded):
        transport.send(request(server, method), read_id, Deadline(0.0))

    assert server.received == []


def test_cancel_ends_the_pause_between_repeats(
    server: ScriptedServer,
    make_transport: MakeTransport,
    threads: ThreadPoolExecutor,
    pausing: threading.Event,
) -> None:  # S5
    deadline = Deadline(3 * LONG_SECONDS)
    transport = make_transport(timing=replace(QUICK, api_retry_initial=LONG_SECONDS))
    server.script += [Answer(503)]
    reading = threads.submit(transport.send, request(server), read_id, deadline)
    pausing.wait()

    deadline.cancel()

    with pytest.raises(DeadlineExceeded, match="cancelled"):
        reading.result()
    assert len(server.received) == 1


@pytest.fixture
def pausing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that comes when a read is about to pause."""
    event = threading.Event()
    caplog.set_level(logging.DEBUG, logger=transport_module.__name__)

    def note(record: logging.LogRecord) -> bool:
        event.set()
        return True

    monkeypatch.setattr(transport_module.log, "filters", [note])
    return event


def seconds_from_now(seconds: float) -> str:
    return f"{seconds}"


def date_from_now(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(("status", "longest"), [(429, 300.0), (503, 30.0)])
@pytest.mark.parametrize("form", [seconds_from_now, date_from_now])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_retry_after_is_obeyed_by_all_who_ask_the_zone(
    server: ScriptedServer,
    transport: Transport,
    method: str,
    form: Callable[[float], str],
    status: int,
    longest: float,
) -> None:  # S20
    server.script += [Answer(status, headers={"Retry-After": form(1000)})]
    seconds = longest / 2.0  # nothing here takes as long
    with pytest.raises(ApiUnavailable) as first:
        transport.send(request(server, method), read_id, Deadline(seconds))
    assert first.value.may_have_effect is (status != 429)

    for which in ("GET", "POST"):
        with pytest.raises(ApiUnavailable, match=r"zone ch-gva-2: .* left alone") as caught:
            transport.send(request(server, which), read_id, Deadline(seconds))
        assert seconds < caught.value.retry_after_seconds <= longest
        assert caught.value.may_have_effect is False
    assert len(server.received) == 1  # the next attempt would come after the deadline

    elsewhere = request(server, zone="de-fra-1")
    server.script += [Answer(body=b'{"id": "it"}')]
    assert transport.send(elsewhere, read_id, Deadline(100.0)) == "it"


@pytest.mark.parametrize(
    "status", [200, 302, 400, 401, 403, 404, 408, 409, 412, 422, 500, 502, 504]
)
def test_retry_after_of_one_thing_closes_no_zone(
    server: ScriptedServer, transport: Transport, status: int
) -> None:  # S20: a volume that is busy is no reason to leave all others alone
    server.script += [
        Answer(status, b'{"id": 7, "retry_after": 200}', {"Retry-After": "200"}),
        Answer(body=b'{"id": "it"}'),
    ]

    with pytest.raises(DriverError):
        transport.send(request(server, "PUT"), read_id, Deadline(LONG_SECONDS))

    assert transport.send(request(server), read_id, Deadline(20.0)) == "it"  # 30 s would not fit


@pytest.mark.parametrize("error_seconds", [-3600.0, 3600.0])
def test_retry_after_as_a_date_counts_by_the_clock_of_the_answer(
    server: ScriptedServer, transport: Transport, error_seconds: float
) -> None:  # S20: the host's may be wrong
    dates = {"Date": date_from_now(error_seconds), "Retry-After": date_from_now(error_seconds + 9)}
    server.script += [Answer(429, headers=dates)]

    with pytest.raises(ApiUnavailable) as caught:
        transport.send(request(server), read_id, Deadline(5.0))

    assert 5.0 < caught.value.retry_after_seconds <= 9.0


@pytest.mark.parametrize("wait", [200, 200.5, "200"])
def test_retry_after_in_a_body_counts_like_the_header(
    server: ScriptedServer, transport: Transport, wait: object
) -> None:  # F18
    server.script += [Answer(429, json.dumps({"message": "no", "retry_after": wait}).encode())]

    with pytest.raises(ApiUnavailable) as caught:
        transport.send(request(server), read_id, Deadline(100.0))

    assert 180.0 < caught.value.retry_after_seconds <= 200.5


@pytest.mark.parametrize(
    ("error_seconds", "says"), [(-3600.0, "ahead of the API's"), (3600.0, "behind the API's")]
)
def test_refused_signature_names_a_clock_that_is_wrong(
    server: ScriptedServer, transport: Transport, error_seconds: float, says: str
) -> None:  # F11
    server.script += [Answer(403, headers={"Date": date_from_now(error_seconds)})]

    with pytest.raises(ApiDenied, match=rf"clock is (35[4-9]\d|36[0-5]\d) s {says}.*set the clock"):
        transport.send(request(server), read_id, Deadline(LONG_SECONDS))


def test_refusal_while_the_clocks_agree_does_not_blame_the_clock(
    server: ScriptedServer, transport: Transport
) -> None:  # F1: the key may be good as well, and the resource locked
    server.script += [Answer(403, b'{"message": "locked"}')]

    with pytest.raises(ApiDenied, match="locked; check the API key, its role, and whether"):
        transport.send(request(server), read_id, Deadline(LONG_SECONDS))


@functools.cache
def packed() -> bytes:
    """Pack 256 MiB of zeros, a thousand to one; it takes a second, so only when it is needed."""
    return gzip.compress(bytes(256 * 1024**2))


LARGE: Mapping[str, Callable[[], Answer]] = {
    "plain": lambda: Answer(body=bytes(3 * 1024**2)),
    "packed": lambda: Answer(body=packed(), headers={"Content-Encoding": "gzip"}),
    "packed twice": lambda: Answer(
        body=gzip.compress(packed()), headers={"Content-Encoding": "gzip, gzip"}
    ),
    "a refusal": lambda: Answer(404, body=packed(), headers={"Content-Encoding": "gzip"}),
    "a redirect": lambda: Answer(
        302,
        body=packed(),
        headers={"Content-Encoding": "gzip", "Location": "http://127.0.0.1:1/"},
    ),
}


@pytest.mark.parametrize("answer", LARGE.values(), ids=LARGE)
def test_answer_that_is_too_large_is_not_read_to_its_end(
    server: ScriptedServer, transport: Transport, answer: Callable[[], Answer]
) -> None:  # F18
    server.script += [answer()]
    tracemalloc.start()
    try:
        with pytest.raises(ApiUnavailable, match=r"larger than 1 MiB|packed by 'gzip, gzip'"):
            transport.send(request(server, "PUT"), read_id, Deadline(LONG_SECONDS))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most_bytes < 8 * 1024**2


def test_list_may_be_large(server: ScriptedServer, transport: Transport) -> None:  # F18
    server.script += [Answer(body=json.dumps({"id": "x" * 2 * 1024**2}).encode())]

    asked = request(server, most_bytes=32 * 1024**2)

    assert len(transport.send(asked, read_id, Deadline(LONG_SECONDS))) == 2 * 1024**2


def test_redirect_is_never_followed_and_cookies_are_not_kept(
    server: ScriptedServer, transport: Transport
) -> None:  # F18: the signature is for the API alone
    elsewhere = {"Location": f"{server.url}/elsewhere", "Set-Cookie": "a=b; Path=/"}
    server.script += [Answer(307, headers=elsewhere), Answer(body=b'{"id": "it"}')]

    assert transport.send(request(server), read_id, Deadline(LONG_SECONDS)) == "it"

    assert [each.path for each in server.received] == ["/v2/block-storage/1"] * 2
    assert all("Cookie" not in each.headers for each in server.received)


_NOT_OF_THE_API = [
    b"<html>404</html>",
    b"",
    b'"not found"',
    b"404 page not found",
    b"{}",
    b'{"error": "no healthy upstream"}',
    b'{"fault": {"faultstring": "Unable to identify proxy for host"}}',
    b'{"message": null}',
    b'{"title": "Not Found", "status": 404}',
    b'{"detail": "Not Found"}',
]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("body", _NOT_OF_THE_API)
def test_404_that_the_api_did_not_write_proves_nothing(
    server: ScriptedServer, transport: Transport, method: str, body: bytes
) -> None:  # section 7
    server.script += [Answer(404, body=body)]

    with pytest.raises(UnprovenAbsence, match="no answer of the API itself"):
        transport.send(request(server, method), read_id, Deadline(LONG_SECONDS))

    assert len(server.received) == 1


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Name servers that answer nobody until the event comes."""
    answers = threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: str, *rest: Any) -> Any:
        answers.wait()
        return look_up("127.0.0.1", *rest)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield answers
    answers.set()


def test_search_for_an_address_ends_with_the_request_and_nothing_was_sent(
    make_transport: MakeTransport, silent_resolver: threading.Event, server: ScriptedServer
) -> None:  # S5, C1
    transport = make_transport(timing=replace(QUICK, api_timeout=SHORT_SECONDS))
    asked = request(server, "POST", url=f"http://api.example:{server.address[1]}/v2")

    for _ in range(3):
        with pytest.raises(ApiUnavailable, match=r"no connection.*no name server") as caught:
            transport.send(asked, read_id, Deadline(LONG_SECONDS))
        assert caught.value.may_have_effect is False
    searches = [each for each in threading.enumerate() if each.name == "resolve-api.example"]

    assert len(searches) == 1  # however many ask


def test_search_for_an_address_ends_with_the_deadline_of_a_read(
    transport: Transport, silent_resolver: threading.Event, server: ScriptedServer
) -> None:  # S5
    asked = request(server, url=f"http://api.example:{server.address[1]}/v2")

    with pytest.raises((ApiUnavailable, DeadlineExceeded)):
        transport.send(asked, read_id, Deadline(SHORT_SECONDS))


def test_name_servers_that_answer_again_are_asked_again(
    transport: Transport, silent_resolver: threading.Event, server: ScriptedServer
) -> None:
    asked = request(server, url=f"http://api.example:{server.address[1]}/v2")
    server.script += [Answer(body=b'{"id": "it"}')]
    with pytest.raises((ApiUnavailable, DeadlineExceeded)):
        transport.send(asked, read_id, Deadline(SHORT_SECONDS))

    silent_resolver.set()

    assert transport.send(asked, read_id, Deadline(LONG_SECONDS)) == "it"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
def test_write_that_went_through_a_tunnel_and_lost_its_answer_may_have_an_effect(
    server: ScriptedServer, make_transport: MakeTransport, method: str, resets: bool
) -> None:  # C1, D11, F2: the connection forgets its tunnel when it breaks
    server.script += [Drop()]
    with TlsServer(server.port) as api, ConnectProxy(api.port, resets=resets) as tunnels:
        transport = make_transport(ca_file=AUTHORITY, proxy=_proxy_at(tunnels.port))
        sent = request(server, method, url="https://api.cloud.test/v2")

        with pytest.raises(ApiUnavailable, match="no answer") as caught:
            transport.send(sent, read_id, Deadline(LONG_SECONDS))

    assert len(server.received) == 1
    assert caught.value.may_have_effect is True


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Answer(407), "Tunnel connection failed: 407"),
        (Answer(502), "Tunnel connection failed: 502"),
        (Drop(), "closed"),
        (Gibberish(), "no HTTP at all"),
    ],
    ids=["407", "502", "dropped", "no HTTP"],
)
def test_write_for_which_the_proxy_makes_no_tunnel_had_no_effect(
    server: ScriptedServer, make_transport: MakeTransport, step: Step, words: str
) -> None:  # C1, F2
    server.script += [step]
    transport = make_transport(proxy=Proxy(server.url, ""))
    kept = request(server, "POST", url="https://api.example/v2")

    with pytest.raises(ApiUnavailable, match=f"no connection.*{words}") as caught:
        transport.send(kept, read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is False


def test_write_that_does_not_find_its_proxy_had_no_effect(
    server: ScriptedServer, make_transport: MakeTransport
) -> None:  # C1, F2
    transport = make_transport(proxy=_proxy_at(1))
    kept = request(server, "POST", url="https://api.example/v2")

    with pytest.raises(ApiUnavailable, match=r"no connection.*refused") as caught:
        transport.send(kept, read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is False


def _proxy_at(port: int) -> Proxy:
    return Proxy(f"http://127.0.0.1:{port}", "")


def test_proxy_that_drips_its_answer_is_given_up(
    server: ScriptedServer, make_transport: MakeTransport
) -> None:  # F18
    server.script += [DripHeaders()]
    transport = make_transport(
        timing=replace(QUICK, api_timeout=SHORT_SECONDS), proxy=Proxy(server.url, "")
    )
    asked = request(server, "PUT", url="https://api.example/v2")

    with pytest.raises(ApiUnavailable, match="no connection") as caught:
        transport.send(asked, read_id, Deadline(LONG_SECONDS))

    assert caught.value.may_have_effect is False


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "0.01",
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 0000 07:28:00 GMT",
        "Wed, 21 Oct 99999999999 07:28:00 GMT",
        "tomorrow",
        "nan",
        "inf",
        "-5",
        "",
    ],
)
def test_retry_after_that_names_no_time_leaves_the_pause_to_us(
    server: ScriptedServer, transport: Transport, value: str
) -> None:
    server.script += [Answer(429, headers={"Retry-After": value}), Answer(body=b'{"id": "it"}')]

    assert transport.send(request(server), read_id, Deadline(LONG_SECONDS)) == "it"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ApiRejected),
        (401, ApiDenied),
        (403, ApiDenied),
        (404, NotFound),
        (409, ApiRejected),
        (410, NotFound),
        (418, ApiRejected),
        (422, ApiRejected),
        (499, ApiRejected),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refusal_is_an_answer_and_never_repeated(
    server: ScriptedServer,
    transport: Transport,
    method: str,
    status: int,
    expected: type[DriverError],
) -> None:  # S4
    server.script += [Answer(status, body=b'{"message": "because"}')]

    with pytest.raises(DriverError, match=rf"volume ch-gva-2/1.*HTTP {status}: because") as caught:
        transport.send(request(server, method), read_id, Deadline(LONG_SECONDS))

    assert type(caught.value) is expected
    assert getattr(caught.value, "http_status", status) == status
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "too large"}', "too large"),
        (b'{"error": "too large"}', "too large"),
        (b'{"title": "Bad", "detail": "too large"}', "Bad: too large"),
        (
            b'{"title": "Bad", "errors": [{"location": "body.size", "detail": "too large"}]}',
            "Bad: body.size too large",
        ),
        (b'{"message": "too large", "errors": [{"message": "too large"}]}', "too large"),
        (b'{"message": "Bad", "errors": [{"message": "too large"}]}', "Bad: too large"),
        (b"too\n  large", "too large"),
        (b'"too large"', '"too large"'),
        (b'{"errors": [7]}', '{"errors": [7]}'),
        (b'{"message": null}', "Bad Request"),
        (b"", "Bad Request"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_message_has_the_reason_of_the_api_whatever_its_form(
    server: ScriptedServer, transport: Transport, body: bytes, words: str
) -> None:  # F11
    server.script += [Answer(400, body=body)]

    with pytest.raises(ApiRejected) as caught:
        transport.send(request(server), read_id, Deadline(LONG_SECONDS))

    assert str(caught.value) == (
        f"get-block-storage-volume for volume ch-gva-2/1: HTTP 400: {words}"
    )


@pytest.mark.parametrize("status", [400, 401, 404, 503])
def test_message_stays_short(server: ScriptedServer, transport: Transport, status: int) -> None:
    server.script += [Answer(status, body=json.dumps({"message": "ä" * 100_000}).encode())]

    with pytest.raises(DriverError) as caught:
        transport.send(request(server, "POST"), read_id, Deadline(LONG_SECONDS))

    assert len(str(caught.value).encode()) < 1000  # F11


@pytest.mark.parametrize(
    "fault", [*UNAVAILABLE.values(), Answer(401), Answer(404), Answer(409)], ids=repr
)
def test_secret_is_in_no_error_and_no_log_line(
    server: ScriptedServer,
    transport: Transport,
    fault: Step,
    caplog: pytest.LogCaptureFixture,
) -> None:  # F12
    caplog.set_level(logging.DEBUG)
    server.script += [fault, Answer(404)]

    with pytest.raises(DriverError) as caught:
        transport.send(request(server), read_id, Deadline(LONG_SECONDS))

    signature = server.received[0].headers["Authorization"].rpartition("signature=")[2]
    written = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert API_SECRET not in written
    assert signature not in written


def test_request_carries_user_agent_body_and_query(
    server: ScriptedServer, transport: Transport
) -> None:
    server.script += [Answer(body=b'{"id": "it"}')]

    transport.send(
        request(server, "PUT", query={"a": "1"}, body={"size": 2}), read_id, Deadline(LONG_SECONDS)
    )

    (received,) = server.received
    assert received.path == "/v2/block-storage/1?a=1"
    assert received.headers["User-Agent"] == USER_AGENT
    assert json.loads(received.body) == {"size": 2}


def test_compressed_answer_is_read(server: ScriptedServer, transport: Transport) -> None:
    body = gzip.compress(json.dumps({"id": "x" * 1_000_000}).encode())
    server.script += [Answer(body=body, headers={"Content-Encoding": "gzip"})]

    assert len(transport.send(request(server), read_id, Deadline(LONG_SECONDS))) == 1_000_000


def test_connection_is_kept_for_the_next_request(
    server: ScriptedServer, transport: Transport
) -> None:  # S20
    missing = Answer(404, body=b'{"message": "Not Found"}')
    server.script += [Answer(body=b'{"id": "it"}'), missing, Answer(body=b'{"id": "it"}')]

    transport.send(request(server), read_id, Deadline(LONG_SECONDS))
    with pytest.raises(NotFound):
        transport.send(request(server), read_id, Deadline(LONG_SECONDS))
    transport.send(request(server, "POST"), read_id, Deadline(LONG_SECONDS))

    assert len({received.port for received in server.received}) == 1


def test_write_does_not_take_a_connection_that_was_closed_meanwhile(
    server: ScriptedServer, transport: Transport
) -> None:  # C1: its answer would be lost
    server.script += [
        Answer(body=b'{"id": "it"}', then_close=True),
        Answer(body=b'{"id": "made"}'),
    ]
    transport.send(request(server), read_id, Deadline(LONG_SECONDS))
    server.closed.acquire()

    assert transport.send(request(server, "POST"), read_id, Deadline(LONG_SECONDS)) == "made"


def test_requests_are_measured(
    server: ScriptedServer, transport: Transport, metrics: Metrics
) -> None:  # F7
    server.script += [Answer(503), Drop(), Answer(body=b'{"id": "it"}')]

    transport.send(request(server), read_id, Deadline(LONG_SECONDS))

    for status in ("503", "none", "200"):
        labels = {"operation": "get-block-storage-volume", "zone": "ch-gva-2", "status": status}
        name = "csi_exoblock_api_request_seconds_count"
        assert value(metrics.text(), name, labels) == 1
    in_flight = "csi_exoblock_api_requests_in_flight"
    assert value(metrics.text(), in_flight, {"zone": "ch-gva-2"}) == 0
