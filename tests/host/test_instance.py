"""S10: the node learns who it is from flags, a CD-ROM or the metadata server, whichever answers."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import random
import socket
import stat
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from csi_exoblock.background import Background
from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError
from csi_exoblock.host.cdrom import CdRom
from csi_exoblock.host.instance import Identity, Source
from csi_exoblock.host.metadata import MetadataServer
from csi_exoblock.model import NodeId
from csi_exoblock.timing import Timing
from tests.node.disks import attached_disk

ME = NodeId.parse("ch-gva-2/5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10")
VALUES = {"availability-zone": "ch-gva-2", "instance-id": str(ME.uuid)}
DISCS = json.loads((pathlib.Path(__file__).parents[1] / "data" / "discs.json").read_text())
TIMING = Timing().scaled(0.02)
PATIENCE_SECONDS = 60.0
# A server that answers has done so by then, on a busy machine too.
PATIENT = replace(Timing(), metadata_timeout=PATIENCE_SECONDS)


@contextmanager
def metadata(
    values: Mapping[str, str],
    status: int = 200,
    *,
    headers: int = 0,
    seconds_a_byte: float = 0.0,
    timing: Timing | None = None,
) -> Iterator[MetadataServer]:
    """Serve values as the cloud's metadata server does, or not quite."""
    with serving(values, status, headers, seconds_a_byte) as port:
        yield MetadataServer(
            timing=timing or PATIENT, url=f"http://127.0.0.1:{port}/latest/meta-data"
        )


@contextmanager
def serving(
    values: Mapping[str, str],
    status: int = 200,
    headers: int = 0,
    seconds_a_byte: float = 0.0,
    hosts: list[str | None] | None = None,
) -> Iterator[int]:
    """Serve values; yields the port.

    Args:
        hosts: Gets the name under which each request calls the server.
    """
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if hosts is not None:
                hosts.append(self.headers["Host"])
            value = values.get(self.path.rpartition("/")[2])
            lines = [f"HTTP/1.0 {status if value is not None else 404} x"]
            lines += [f"X-{number}: {'x' * 1000}" for number in range(headers)]
            answer = "\r\n".join([*lines, "", value or ""]).encode()
            if not seconds_a_byte:
                self.wfile.write(answer)
                return
            for byte in answer:
                self.wfile.write(bytes([byte]))
                if stopping.wait(seconds_a_byte):
                    return

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: who has heard enough leaves."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        stopping.set()
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


def test_an_answer_that_drips_is_none() -> None:
    """S10: each byte came within the timeout, so discovery was held for as long as it went on."""
    with (
        metadata(VALUES, seconds_a_byte=TIMING.metadata_timeout / 10, timing=TIMING) as server,
        pytest.raises(HostError),
    ):
        server.read()


def test_an_answer_without_end_is_none() -> None:  # F17
    with metadata(VALUES, headers=90) as server, pytest.raises(HostError, match="more than 16384"):
        server.read()


def test_the_server_s_name_is_looked_up_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """F17: a cluster tries names in its own domains first; there, others make them."""
    hosts: list[str | None] = []
    names = []
    look_up = socket.getaddrinfo
    with serving(VALUES, hosts=hosts) as port:

        def resolve(name: str, _: int, *rest: int) -> object:
            names.append(name)
            return look_up("127.0.0.1", port, *rest)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

        assert MetadataServer(timing=PATIENT).read() == ME

    assert set(names) == {"metadata.exoscale.com."}
    assert set(hosts) == {"metadata.exoscale.com"}


@pytest.mark.root
@pytest.mark.parametrize(
    "disc",
    ["with Joliet and Rock Ridge", "with Rock Ridge, labelled CIDATA", "with Joliet"],
)
def test_the_cd_rom_tells_zone_and_id(tmp_path: pathlib.Path, disc: str) -> None:
    with drive(tmp_path, disc_image(disc)) as source:
        assert source.read() == ME


@pytest.mark.root
@pytest.mark.parametrize(
    ("disc", "says"),
    [
        ("of another label", "'other'"),
        ("whose meta-data is a folder", "no plain file"),
        ("whose meta-data is a link to /dev/zero", "no zone and instance id"),
        ("whose meta-data is a FIFO", "no zone and instance id"),
        ("whose meta-data has 200 KB", "at most 65536"),
        (None, "no ISO 9660"),
    ],
)
def test_a_cd_rom_without_them_is_no_answer(
    tmp_path: pathlib.Path, disc: str | None, says: str
) -> None:  # F17
    with (
        drive(tmp_path, disc_image(disc) if disc else b"") as source,
        pytest.raises(HostError, match=says),
    ):
        source.read()


@pytest.mark.root
def test_a_broken_cd_rom_ends_in_no_other_way(tmp_path: pathlib.Path) -> None:  # F17
    image = disc_image("with Joliet and Rock Ridge")
    noise = random.Random(17)

    with drive(tmp_path, image) as source, (tmp_path / "dev" / "sr0").open("r+b") as drive_:
        for _ in range(300):
            broken = bytearray(image[: 40 * 2048])
            for _ in range(20):
                broken[noise.randrange(16 * 2048, len(broken))] = noise.randrange(256)
            drive_.seek(0)
            drive_.write(broken)
            drive_.flush()
            with contextlib.suppress(HostError):  # or what is left of the values, but no trace
                source.read()


@pytest.mark.root
def test_a_disk_labelled_like_the_cd_rom_is_not_read(
    tmp_path: pathlib.Path,
) -> None:  # F17: a tenant's raw volume named the node
    with (
        drive(tmp_path, disc_image("with Joliet"), name="vdb") as source,
        pytest.raises(HostError, match="no CD-ROM drive"),
    ):
        source.read()


@pytest.mark.root
@pytest.mark.parametrize("kind", ["link", "FIFO", "another disk"])
def test_what_is_not_the_drive_itself_is_not_opened(
    tmp_path: pathlib.Path, kind: str
) -> None:  # F17
    with drive(tmp_path, disc_image("with Joliet")) as source:
        node = tmp_path / "dev" / "sr0"
        if kind == "link":
            node.rename(tmp_path / "dev" / "elsewhere")
            node.symlink_to("elsewhere")
        elif kind == "FIFO":
            node.unlink()
            os.mkfifo(node)
        else:
            (tmp_path / "sys" / "class" / "block" / "sr0" / "dev").write_text("11:0\n")

        with pytest.raises(HostError):
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


def test_a_source_that_never_answers_holds_up_no_other() -> None:  # S10, S26
    silent = threading.Event()

    class Silent:
        def read(self) -> NodeId:
            silent.wait()
            raise HostError("too late")

    class Broken:
        def read(self) -> NodeId:
            raise ZeroDivisionError("broken on purpose")

    with metadata(VALUES) as server:
        found = identity(cdrom=Silent(), other=Broken(), server=server)

        assert found.get(Deadline(PATIENCE_SECONDS)) == ME
    silent.set()


def disc_image(name: str) -> bytes:
    """Return what genisoimage made of a folder."""
    return zlib.decompress(base64.b64decode(DISCS[name]))


@contextmanager
def drive(folder: pathlib.Path, image: bytes, *, name: str = "sr0") -> Iterator[CdRom]:
    """Insert a disc into a drive, or attach it as another disk by its name."""
    block, links, dev = folder / "sys" / "class" / "block" / name, folder / "links", folder / "dev"
    for path in (block, links, dev):
        path.mkdir(parents=True)
    with attached_disk(folder, links) as disk:
        disk.write(0, image)
        number = disk.path.stat().st_rdev
        (block / "dev").write_text(f"{os.major(number)}:{os.minor(number)}\n")
        os.mknod(dev / name, stat.S_IFBLK | 0o600, number)
        yield CdRom(sysfs=folder / "sys", dev=dev)
