"""The cloud's metadata server, which tells an instance who it is."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import HostError, NotFound
from csi_exoblock.model import NodeId

_ZONE = "availability-zone"
_INSTANCE = "instance-id"

# Longer than any id or zone; a page that somebody else serves is not read further.
_BODY_BYTES = 256
# Of a whole answer, headers included.
_ANSWER_BYTES = 16 * 1024
# Of a value that is none, in a message.
_SHOWN = 100


class MetadataServer:
    """The cloud's server at a link-local address; no proxy is ever asked for it (F2).

    Args:
        url: Under which the values lie, one a path. The dot at the end of the name keeps resolvers
            from trying it below a cluster's own domains first, where others make names.
    """

    def __init__(
        self, *, timing: Timing, url: str = "http://metadata.exoscale.com./latest/meta-data"
    ) -> None:
        self._timing = timing
        self._url = urlsplit(url)

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: The server can't be reached, is too slow, or answers otherwise than with the
                values.
        """
        deadline = Deadline(self._timing.metadata_timeout)
        return node_id_of({name: self._get(name, deadline) for name in (_ZONE, _INSTANCE)})

    def _get(self, name: str, deadline: Deadline) -> str:
        connection = _Connection(self._url.netloc, deadline)
        try:
            host = self._url.netloc.rstrip(".")  # as servers know themselves
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
    """A connection whose answer has to come within a deadline, all of it, and has a largest size.

    A server that sends a byte now and then outlasts every timeout between two bytes.
    """

    def __init__(self, host: str, deadline: Deadline) -> None:
        super().__init__(host, timeout=deadline.check())
        self._deadline = deadline

    def connect(self) -> None:
        """Connect by a socket that keeps the limits."""
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
        """Read what has come; all that `http.client` reads comes this way."""
        if not (seconds := self._deadline.remaining()):
            raise TimeoutError("the answer did not come in time")
        self.settimeout(seconds)
        count = super().recv_into(buffer, nbytes, flags)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise OSError(f"the answer has more than {_ANSWER_BYTES} bytes")
        return count


def node_id_of(values: Mapping[str, str]) -> NodeId:
    """Return the identity that the cloud's names for zone and instance give.

    Raises:
        HostError: They are missing or make no sense.
    """
    zone, instance = values.get(_ZONE, "")[:_SHOWN], values.get(_INSTANCE, "")[:_SHOWN]
    try:
        return NodeId.parse(f"{zone}/{instance}")
    except NotFound as error:
        raise HostError(f"{zone!r} and {instance!r} are no zone and instance id") from error
