"""The gRPC server on its unix socket: it takes over a dead socket, and stops gracefully."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from csi_exoblock.concurrency import Deadline
from csi_exoblock.csi.interceptor import Interceptor
from csi_exoblock.pb import csi_pb2_grpc
from csi_exoblock.pool import Pool
from csi_exoblock.threads import begin_thread
from csi_exoblock.timing import ProcessTiming

log = logging.getLogger(__name__)

# Allow the sidecars' pings on idle connections, and set no maximum age of a connection: sidecars
# exit when their connection ends.
_OPTIONS = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
)

# Owner and group can connect: a sidecar of the same pod can run as another user of the same group.
_UMASK = 0o117

# Linux, sockaddr_un: 108 bytes with the zero at the end.
_PATH_BYTES = 107


class Server:
    """Serves the given services on one socket.

    Args:
        workers: How many threads serve calls.
        controller: The controller service, `None` to leave it out.
        node: The node service, `None` to leave it out.
        timing: `shutdown_cancel` limits the wait for cancelled calls.
    """

    def __init__(
        self,
        *,
        socket_path: Path,
        workers: int,
        interceptor: Interceptor,
        identity: csi_pb2_grpc.IdentityServicer,
        controller: csi_pb2_grpc.ControllerServicer | None,
        node: csi_pb2_grpc.NodeServicer | None,
        timing: ProcessTiming,
    ) -> None:
        self._socket_path = socket_path
        self._timing = timing
        self._pool = Pool(workers, name="rpc")
        self._stopping = threading.Event()
        self._dead = threading.Event()
        self._server = new_server(self._pool, interceptors=[interceptor], options=_OPTIONS)
        csi_pb2_grpc.add_IdentityServicer_to_server(identity, self._server)
        if controller is not None:
            csi_pb2_grpc.add_ControllerServicer_to_server(controller, self._server)
        if node is not None:
            csi_pb2_grpc.add_NodeServicer_to_server(node, self._server)

    def start(self, *, on_death: Callable[[], None]) -> None:
        """Listen on the socket; replace one that a dead process left.

        Args:
            on_death: Called if gRPC's serving thread ends by itself: then nothing is answered any
                more, and only a new process helps.

        Raises:
            OSError: Another process serves the socket, or it can't be made.
            HostError: The host has no threads left.
        """
        claim(self._socket_path)
        self._pool.start()
        serving = listen(self._server, self._socket_path)

        def watch() -> None:
            for thread in serving:
                thread.join()
            self._dead.set()
            if not self._stopping.is_set():
                log.critical("gRPC stopped serving, so the process ends")
                on_death()

        begin_thread(watch, name="serving")

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls, let running calls finish, and cancel those that remain at the end.

        Do not wait for calls that hang in the kernel, nor for a server that has died.
        """
        self._stopping.set()
        is_dead = self._dead.is_set()
        try:
            stopped = self._server.stop(grace_seconds)
        except RuntimeError:  # gRPC got no thread for the wait, but it takes no more calls
            is_dead = True
        if is_dead:
            self._pool.wait_until_idle(Deadline(grace_seconds))
        else:
            stopped.wait(grace_seconds + self._timing.shutdown_cancel)


def new_server(pool: Pool, **rest: Any) -> grpc.Server:
    """Return a gRPC server whose calls run in a pool."""
    return grpc.server(pool, **rest)  # type: ignore[arg-type] # gRPC only calls submit


def listen(server: grpc.Server, path: Path) -> list[threading.Thread]:
    """Start a server on a unix socket, and return the threads that serve it.

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
    before = set(threading.enumerate())
    server.start()
    return [thread for thread in threading.enumerate() if thread not in before]


def claim(path: Path) -> None:
    """Remove the socket of a dead process from a path.

    Raises:
        OSError: A running process serves it, it is no socket, or its folder is missing.
    """
    require_place(path)
    if not path.is_socket():
        return
    if is_served(path):
        raise OSError(errno.EADDRINUSE, "another process serves this socket", str(path))
    path.unlink()


def require_place(path: Path) -> None:
    """Raise OSError unless a socket can be made at a path.

    The folder must exist, and at the path there must be nothing or a socket.
    """
    path.parent.stat()
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "is in the way and no socket", str(path))


def is_served(path: Path) -> bool:
    """Return whether a process accepts connections at a path.

    Raises:
        OSError: The attempt to connect failed for another reason.
    """
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
