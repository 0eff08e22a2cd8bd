"""Who this node is: the instance's id and zone, from the first source that knows (S10)."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import DeadlineExceeded, HostError, NotFound
from csi_exoblock.host.commands import Commands
from csi_exoblock.model import NodeId

log = logging.getLogger(__name__)

_ZONE = "availability-zone"
_INSTANCE = "instance-id"

# Longer than any id or zone; a page that somebody else serves is not read further.
_ANSWER_BYTES = 256


class Source(Protocol):
    """Somewhere the identity may be written."""

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: The source isn't there, doesn't answer or makes no sense.
        """


def sources(names: tuple[str, ...], *, commands: Commands, timing: Timing) -> Mapping[str, Source]:
    """Return the sources of these names, `cdrom` and `server`, in the order given."""
    known: Mapping[str, Source] = {
        "cdrom": CdRom(commands=commands),
        "server": MetadataServer(timing=timing),
    }
    return {name: known[name] for name in names}


class Identity:
    """The node's identity; its sources are asked until one answers.

    Args:
        sources: By name, asked in this order.
    """

    def __init__(
        self, *, known: NodeId | None, sources: Mapping[str, Source], timing: Timing
    ) -> None:
        self._sources = sources
        self._timing = timing
        self._answer: Future[NodeId] = Future()
        if known is not None:
            self._answer.set_result(known)

    def ask(self) -> float | None:
        """Ask the sources once; return the seconds until the next time, None once one answered."""
        if not self.known():
            if (found := self._ask()) is None:
                return self._timing.identity_retry
            self._answer.set_result(found)
        return None

    def known(self) -> bool:
        """Tell whether a source has answered."""
        return self._answer.done()

    def get(self, deadline: Deadline) -> NodeId:
        """Wait until a source has answered, and return what it said.

        Raises:
            HostError: None has, as long as the caller could wait; they are asked again.
        """
        try:
            return deadline.result(self._answer)
        except DeadlineExceeded as error:
            raise HostError(
                "the instance's id and zone are not known yet; asked again and again: "
                f"{', '.join(self._sources) or 'nothing'}"
            ) from error

    def _ask(self) -> NodeId | None:
        for name, source in self._sources.items():
            try:
                found = source.read()
            except HostError as error:
                log.warning(
                    "source of the identity failed", extra={"source": name, "error": str(error)}
                )
            else:
                log.info("identity found", extra={"source": name, "node_id": str(found)})
                return found
        return None


class MetadataServer:
    """The cloud's server at a link-local address; no proxy is ever asked for it (F2).

    Args:
        url: Under which the values lie, one a path.
    """

    def __init__(
        self, *, timing: Timing, url: str = "http://metadata.exoscale.com/latest/meta-data"
    ) -> None:
        self._timing = timing
        self._url = urlsplit(url)

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: The server can't be reached, or answers otherwise than with the values.
        """
        return _identity({name: self._get(name) for name in (_ZONE, _INSTANCE)})

    def _get(self, name: str) -> str:
        connection = http.client.HTTPConnection(
            self._url.netloc, timeout=self._timing.metadata_timeout
        )
        try:
            connection.request("GET", f"{self._url.path}/{name}")
            answer = connection.getresponse()
            body = answer.read(_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise HostError(f"{self._url.geturl()}/{name}: {error}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise HostError(f"{self._url.geturl()}/{name}: status {answer.status}")
        return body.decode(errors="replace").strip()


class CdRom:
    """The disk that private instances get: labelled `cidata`, with a file of `key: value` lines.

    Args:
        device: The link that udev makes for the label.
    """

    def __init__(
        self, *, commands: Commands, device: Path = Path("/dev/disk/by-label/cidata")
    ) -> None:
        self._commands = commands
        self._device = device

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: There is no such disk, or it can't be read.
        """
        if not self._device.exists():
            raise HostError(f"there is no {self._device}")
        import tempfile  # half a MiB that most nodes never need

        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self._commands.run("mount", "-o", "ro,nosuid,nodev", str(self._device), folder)
            try:
                text = (Path(folder) / "meta-data").read_text(errors="replace")
            except OSError as error:
                raise HostError(f"{self._device}: {error}") from error
            finally:
                self._commands.run("umount", folder)
        lines = (line.partition(":") for line in text.splitlines())
        return _identity({key.strip(): value.strip() for key, _, value in lines})


def _identity(values: Mapping[str, str]) -> NodeId:
    zone, instance = values.get(_ZONE, ""), values.get(_INSTANCE, "")
    try:
        return NodeId.parse(f"{zone}/{instance}")
    except NotFound as error:
        raise HostError(f"{zone!r} and {instance!r} are no zone and instance id") from error
