"""The cloud's metadata server, which gives an instance its id and zone."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, NotFound
from csi_exoblock.model import NodeId
from csi_exoblock.timing import HostTiming

_ZONE = "availability-zone"
_INSTANCE = "instance-id"

# Longer than any id or zone; of a longer page from a wrong server no more is read.
_BODY_BYTES = 256
# The largest answer to read, headers included.
_ANSWER_BYTES = 16 * 1024
# Characters of an invalid value that a message shows.
_SHOWN = 100


class MetadataServer:
    """The cloud's server at a link-local address; requests to it never use a proxy (F2).

    Args:
        url: The folder of the values, one for each path below it. The dot at the end of the host's
            name keeps resolvers from trying it below a cluster's own domains first, where a tenant
            can create names.
    """

    def __init__(
        self, *, timing: HostTiming, url: str = "http://metadata.exoscale.com./latest/meta-data"
    ) -> None:
        self._timing = timing
        self._url = urlsplit(url)

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: The server can't be reached, is too slow, or doesn't answer with the values.
        """
        deadline = Deadline(self._timing.metadata_timeout)
        return node_id_of({name: self._get(name, deadline) for name in (_ZONE, _INSTANCE)})

    def _get(self, name: str, deadline: Deadline) -> str:
        connection = _Connection(self._url.netloc, deadline)
        try:
            host = self._url.netloc.rstrip(".")  # a server doesn't know its name with the dot
            connection.request("GET", f"{self._url.path}/{name}", headers={"Host": host})
            answer = connection.getresponse()
            body = answer.read(_BODY_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise HostError(f"{self._url.geturl()}/{name}: {error}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise HostError(f"{self._url.geturl()}/{name}: status {answer.status}")
        return body.decode(errors="replace").strip()


class _Connection(http.client.HTTPConnection):
    """A connection with one deadline and one size limit for the whole answer.

    A timeout between two bytes is no limit: a server can send a byte just before each one.
    """

    def __init__(self, host: str, deadline: Deadline) -> None:
        super().__init__(host, timeout=deadline.check())
        self._deadline = deadline

    def connect(self) -> None:
        """Connect, with a socket that enforces the limits."""
        super().connect()
        self.sock = _Limited(self.sock, self._deadline)


class _Limited(socket.socket):
    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        family, kind, protocol = connected.family, connected.type, connected.proto
        super().__init__(family, kind, protocol, fileno=connected.detach())
        self._deadline = deadline
        self._left_bytes = _ANSWER_BYTES

    def recv_into(  # type: ignore[override] # Python has no name for its type before 3.12
        self, buffer: memoryview, nbytes: int = 0, flags: int = 0
    ) -> int:
        """Read from the socket; `http.client` reads everything through this method."""
        if not (seconds := self._deadline.remaining()):
            raise TimeoutError("the answer did not come in time")
        self.settimeout(seconds)
        count = super().recv_into(buffer, nbytes, flags)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise OSError(f"the answer has more than {_ANSWER_BYTES} bytes")
        return count


def node_id_of(values: Mapping[str, str]) -> NodeId:
    """Return the identity in a mapping with the cloud's keys for zone and instance.

    Raises:
        HostError: A value is missing or makes no sense.
    """
    zone, instance = values.get(_ZONE, "")[:_SHOWN], values.get(_INSTANCE, "")[:_SHOWN]
    try:
        return NodeId.parse(f"{zone}/{instance}")
    except NotFound as error:
        raise HostError(f"{zone!r} and {instance!r} are no zone and instance id") from error
