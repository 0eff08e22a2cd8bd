"""A request that was under way while the key changed is sent again, once (F1)."""

from __future__ import annotations

import json
import math
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.credentials import read_credentials
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
)
from csi_exoblock.exoscale.keyring import Keyring
from csi_exoblock.exoscale.pace import Paces
from csi_exoblock.exoscale.transport import Request, Transport
from tests.exoscale.conftest import QUICK, MakeTransport
from tests.exoscale.scripted_server import Answer, Hold, Received, ScriptedServer
from tests.support.asking import LONG_SECONDS


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "credentials.json"
    write(file, "EXOold")
    return file


@pytest.fixture
def transport(make_transport: MakeTransport, file: pathlib.Path) -> Transport:
    return make_transport(keyring=Keyring(read_credentials(file), file, timing=QUICK))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_request_under_way_is_sent_again_with_the_new_key(
    server: ScriptedServer,
    transport: Transport,
    threads: ThreadPoolExecutor,
    file: pathlib.Path,
    method: str,
    status: int,
) -> None:
    gate = threading.Event()
    server.script += [Hold(gate, Answer(status)), Answer(body=b'"done"')]
    asked = request(server, method)
    sending = threads.submit(transport.send, asked, str, Deadline(LONG_SECONDS))
    server.arrived.acquire()

    write(file, "EXOnew")
    gate.set()

    assert sending.result() == "done"
    assert [key_of(each) for each in server.received] == ["EXOold", "EXOnew"]
    assert server.received[0].body == server.received[1].body


def test_request_is_sent_again_only_when_it_is_its_turn(
    server: ScriptedServer,
    make_transport: MakeTransport,
    threads: ThreadPoolExecutor,
    file: pathlib.Path,
) -> None:  # S20: it is one more for the zone, which here wants none for a while
    gate, paces = threading.Event(), Paces(timing=QUICK, most_per_second=math.inf)
    keyring = Keyring(read_credentials(file), file, timing=QUICK)
    transport = make_transport(keyring=keyring, paces=paces)
    server.script += [Hold(gate, Answer(401))]
    sending = threads.submit(transport.send, request(server, "PUT"), str, Deadline(100.0))
    server.arrived.acquire()

    write(file, "EXOnew")
    paces.of("ch-gva-2").close(200.0)
    gate.set()

    with pytest.raises(ApiUnavailable, match="left alone"):
        sending.result()
    assert [key_of(each) for each in server.received] == ["EXOold"]


def test_request_that_has_no_time_for_its_second_turn_was_not_denied(
    server: ScriptedServer, transport: Transport, threads: ThreadPoolExecutor, file: pathlib.Path
) -> None:  # its caller comes again, and the new key is tried then
    gate, deadline = threading.Event(), Deadline(LONG_SECONDS)
    server.script += [Hold(gate, Answer(401))]
    sending = threads.submit(transport.send, request(server, "PUT"), str, deadline)
    server.arrived.acquire()

    write(file, "EXOnew")
    deadline.cancel()
    gate.set()

    with pytest.raises(DeadlineExceeded):
        sending.result()


def test_request_is_sent_again_once_only(
    server: ScriptedServer, transport: Transport, threads: ThreadPoolExecutor, file: pathlib.Path
) -> None:
    gate = threading.Event()
    server.script += [Hold(gate, Answer(401)), Answer(401)]
    sending = threads.submit(transport.send, request(server, "PUT"), str, Deadline(LONG_SECONDS))
    server.arrived.acquire()

    write(file, "EXOnew")
    gate.set()

    with pytest.raises(ApiDenied):
        sending.result()
    assert [key_of(each) for each in server.received] == ["EXOold", "EXOnew"]


def test_half_of_a_new_pair_fails_no_request(
    server: ScriptedServer, make_transport: MakeTransport, tmp_path: pathlib.Path
) -> None:  # F1: a folder whose two files are written seconds apart
    transport = in_folder(make_transport, tmp_path, "EXOold", "old")
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    (tmp_path / "EXOSCALE_API_KEY").write_text("EXOnew1")
    server.script += [Answer(403)]
    for _ in range(3):
        transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))
    (tmp_path / "EXOSCALE_API_SECRET").write_text("newer")
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    used = [key_of(each) for each in server.received]
    assert used == ["EXOold", "EXOnew1", "EXOold", "EXOold", "EXOold", "EXOnew1"]


def test_pair_that_the_file_holds_is_tried_again_once_the_one_before_it_is_revoked(
    server: ScriptedServer, make_transport: MakeTransport, tmp_path: pathlib.Path
) -> None:  # F1: it was refused for its role, or for a lock, and is good otherwise
    transport = in_folder(make_transport, tmp_path, "EXOold", "old")
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    (tmp_path / "EXOSCALE_API_KEY").write_text("EXOnew1")
    server.script += [Answer(403), Answer(), Answer(403), Answer()]
    for _ in range(2):
        transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    used = [key_of(each) for each in server.received]
    assert used == ["EXOold", "EXOnew1", "EXOold", "EXOold", "EXOnew1", "EXOnew1"]


def test_locked_resource_does_not_make_a_key_that_works_suspicious(
    server: ScriptedServer, make_transport: MakeTransport, tmp_path: pathlib.Path
) -> None:  # F1
    transport = in_folder(make_transport, tmp_path, "EXOold", "old")
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))
    (tmp_path / "EXOSCALE_API_KEY").write_text("EXOnew1")
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    server.script += [Answer(403, b'{"message": "locked"}')]
    with pytest.raises(ApiDenied, match="locked"):
        transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    assert [key_of(each) for each in server.received] == ["EXOold", "EXOnew1", "EXOnew1"]


@pytest.mark.parametrize(
    "unchecked",
    [
        Answer(500, b'{"message": "internal"}'),
        Answer(502, b"<html>502 Bad Gateway</html>"),
        Answer(503),
        Answer(404, b"<html>404 Not Found</html>"),
        Answer(400, b'{"error": "of a gateway"}'),
        Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
        Answer(200, b"<html>maintenance</html>"),
    ],
    ids=lambda each: str(each.status),
)
def test_answer_that_checks_no_signature_makes_no_key_the_one_that_works(
    server: ScriptedServer, make_transport: MakeTransport, tmp_path: pathlib.Path, unchecked: Answer
) -> None:  # F1: else the old key is forgotten, and every later call is refused
    transport = in_folder(make_transport, tmp_path, "EXOold", "old")
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    (tmp_path / "EXOSCALE_API_KEY").write_text("EXOnew1")
    server.script += [unchecked, Answer(403)]
    with suppress(DriverError):
        transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    assert [key_of(each) for each in server.received] == ["EXOold", "EXOnew1", "EXOnew1", "EXOold"]


def test_refusal_by_the_api_itself_shows_that_the_key_works(
    server: ScriptedServer, make_transport: MakeTransport, tmp_path: pathlib.Path
) -> None:  # F1
    transport = in_folder(make_transport, tmp_path, "EXOold", "old")
    server.script += [Answer(409, b'{"message": "busy"}')]
    with pytest.raises(ApiRejected, match="busy"):
        transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    (tmp_path / "EXOSCALE_API_KEY").write_text("EXOnew1")
    server.script += [Answer(403)]
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    assert [key_of(each) for each in server.received] == ["EXOold", "EXOnew1", "EXOold"]


def in_folder(
    make_transport: MakeTransport, folder: pathlib.Path, key: str, secret: str
) -> Transport:
    (folder / "EXOSCALE_API_KEY").write_text(key)
    (folder / "EXOSCALE_API_SECRET").write_text(secret)
    return make_transport(keyring=Keyring(read_credentials(folder), folder, timing=QUICK))


def test_request_that_the_role_forbids_is_not_sent_again(
    server: ScriptedServer, transport: Transport
) -> None:
    server.script += [Answer(403)]

    with pytest.raises(ApiDenied):
        transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    assert len(server.received) == 1


def test_next_request_has_the_new_key(
    server: ScriptedServer, transport: Transport, file: pathlib.Path
) -> None:
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))
    write(file, "EXOnew")
    transport.send(request(server, "PUT"), str, Deadline(LONG_SECONDS))

    assert [key_of(each) for each in server.received] == ["EXOold", "EXOnew"]


def write(file: pathlib.Path, key: str) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps({"api_key": key, "api_secret": "s"}))
    beside.rename(file)


def request(server: ScriptedServer, method: str) -> Request:
    return Request(
        operation="resize-block-storage-volume",
        method=method,
        url=f"{server.url}/v2/block-storage/1",
        zone="ch-gva-2",
        subject="volume ch-gva-2/1",
        body=None if method == "GET" else {"size": 7},
    )


def key_of(received: Received) -> str:
    return received.headers["Authorization"].partition("credential=")[2].partition(",")[0]
