"""The gRPC server on its unix socket: claimed when it starts, drained when it stops."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from csi_exoblock.csi.interceptor import Interceptor
from csi_exoblock.pb import csi_pb2_grpc

# Sidecars ping idle connections, and there is no limit to a connection's age: they exit when it
# ends.
_OPTIONS = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
)

# For the sidecars of the same pod, which may run as another user of the same group.
_UMASK = 0o117

# Linux, sockaddr_un: 108 bytes with the zero at its end.
_PATH_BYTES = 107


class Server:
    """Serves what it is given on one socket."""

    def __init__(
        self,
        *,
        socket_path: Path,
        workers: int,
        interceptor: Interceptor,
        identity: csi_pb2_grpc.IdentityServicer,
        controller: csi_pb2_grpc.ControllerServicer | None,
        node: csi_pb2_grpc.NodeServicer | None,
    ) -> None:
        self._socket_path = socket_path
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=workers, thread_name_prefix="rpc"),
            interceptors=[interceptor],
            options=_OPTIONS,
        )
        csi_pb2_grpc.add_IdentityServicer_to_server(identity, self._server)
        if controller is not None:
            csi_pb2_grpc.add_ControllerServicer_to_server(controller, self._server)
        if node is not None:
            csi_pb2_grpc.add_NodeServicer_to_server(node, self._server)

    def start(self) -> None:
        """Listen; a socket that nobody serves any more is replaced.

        Raises:
            OSError: Another process serves the socket, or it can't be made.
        """
        claim(self._socket_path)
        listen(self._server, self._socket_path)

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls, let those that run finish, and cancel what is left at the end."""
        self._server.stop(grace_seconds).wait()


def listen(server: grpc.Server, path: Path) -> None:
    """Start a server on a unix socket.

    Raises:
        OSError: The socket can't be made.
    """
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise OSError(
            errno.ENAMETOOLONG, f"at most {_PATH_BYTES} bytes in a socket's path", str(path)
        )
    with _umask(_UMASK):
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise OSError(errno.EADDRNOTAVAIL, "can't listen on the socket", str(path)) from error
    server.start()


def claim(path: Path) -> None:
    """Remove a socket that a dead process left.

    Raises:
        OSError: A living process serves it, or it is no socket, or its folder is missing.
    """
    path.parent.stat()
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "is in the way and no socket", str(path))
    if _is_served(path):
        raise OSError(errno.EADDRINUSE, "another process serves this socket", str(path))
    path.unlink()


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
