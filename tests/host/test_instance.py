"""S10: the node learns who it is from flags, a CD-ROM or the metadata server, whichever answers."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.background import Background
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import HostError
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.instance import CdRom, Identity, MetadataServer, Source
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import NodeId
from tests.node.disks import attached_disk, run

ME = NodeId.parse("ch-gva-2/5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10")
VALUES = {"availability-zone": "ch-gva-2", "instance-id": str(ME.uuid)}
TIMING = Timing().scaled(0.02)
PATIENCE_SECONDS = 5.0


@contextmanager
def metadata(values: Mapping[str, str], status: int = 200) -> Iterator[MetadataServer]:
    """Serve values as the cloud's metadata server does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            value = values.get(self.path.rpartition("/")[2])
            self.send_response(status if value is not None else 404)
            self.end_headers()
            self.wfile.write((value or "").encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield MetadataServer(
            timing=Timing(), url=f"http://127.0.0.1:{server.server_port}/latest/meta-data"
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Nobody:
    """A source that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answers = False

    def read(self) -> NodeId:
        if self.answers:
            return ME
        raise HostError("nobody is there")


def identity(known: NodeId | None = None, **sources: Source) -> Identity:
    made = Identity(known=known, sources=sources, timing=TIMING)
    retry = TIMING.identity_retry
    Background(made.ask, name="identity", restart_seconds=retry, count_error=int).start()
    return made


def test_the_server_tells_zone_and_id() -> None:
    with metadata(VALUES) as server:
        assert server.read() == ME


def test_no_proxy_is_asked_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:  # F2
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    with metadata(VALUES) as server:
        assert server.read() == ME


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (VALUES, 500),
        ({"availability-zone": "ch-gva-2"}, 200),
        ({"availability-zone": "<html>", "instance-id": "<html>"}, 200),
        ({"availability-zone": "ch-gva-2", "instance-id": "x" * 100_000}, 200),
    ],
)
def test_an_answer_that_makes_no_sense_is_none(values: dict[str, str], status: int) -> None:
    with metadata(values, status) as server, pytest.raises(HostError):
        server.read()


def test_a_server_that_is_not_there_is_no_answer() -> None:
    with pytest.raises(HostError):
        MetadataServer(timing=TIMING, url="http://127.0.0.1:1/latest/meta-data").read()


@pytest.mark.root
def test_the_cd_rom_tells_zone_and_id(tmp_path: pathlib.Path) -> None:
    with cd_rom(tmp_path, "".join(f"{key}: {value}\n" for key, value in VALUES.items())) as source:
        assert source.read() == ME


@pytest.mark.root
def test_a_cd_rom_without_them_is_no_answer(tmp_path: pathlib.Path) -> None:
    with cd_rom(tmp_path, "something: else\n") as source, pytest.raises(HostError):
        source.read()


def test_flags_come_first_and_nobody_else_is_asked() -> None:
    other = NodeId.parse("de-fra-1/ffffffff-93f4-4f0e-8d0b-0c8f6b5d2a10")

    with metadata(VALUES) as server:
        known = identity(other, server=server)

        assert known.known()
        assert known.get(Deadline(PATIENCE_SECONDS)) == other


def test_the_next_source_is_asked_when_one_fails() -> None:
    with metadata(VALUES) as server:
        found = identity(cdrom=Nobody(), server=server)

        assert found.get(Deadline(PATIENCE_SECONDS)) == ME


def test_a_source_that_answers_late_is_found_without_a_restart() -> None:
    late = Nobody()
    waiting = identity(server=late)
    with pytest.raises(HostError, match="server"):
        waiting.get(Deadline(0.2))

    late.answers = True

    assert waiting.get(Deadline(PATIENCE_SECONDS)) == ME


@contextmanager
def cd_rom(folder: pathlib.Path, text: str) -> Iterator[CdRom]:
    """Insert a CD-ROM with this file of metadata."""
    links, content = folder / "links", folder / "content"
    links.mkdir()
    content.mkdir()
    (content / "meta-data").write_text(text)
    with attached_disk(folder, links) as disk:
        run("mkfs.ext4", "-q", "-L", "cidata", "-d", os.fspath(content), os.fspath(disk.path))
        commands = Commands(timing=Timing(), metrics=Metrics(CollectorRegistry()))
        yield CdRom(commands=commands, device=disk.link)
