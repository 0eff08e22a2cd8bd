"""A Probe that the driver sends to itself through its own socket (N14)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc

log = logging.getLogger(__name__)

# Without this all channels of a process share a connection, which can outlive the socket.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class SelfProbe:
    """Sends a Probe over a new connection, as a sidecar does that has just started.

    So it notices when all threads of the pool are stuck, and when the socket was removed: clients
    that are connected notice nothing then, but no new client can reach the driver.

    Args:
        is_stuck: Returns whether calls that hang keep every thread that Probe itself does not need.
    """

    def __init__(
        self, *, socket_path: Path, timeout_seconds: float, is_stuck: Callable[[], bool]
    ) -> None:
        self._is_stuck = is_stuck
        self._target = f"unix:{socket_path}"
        self._timeout_seconds = timeout_seconds

    def __call__(self) -> bool:
        """Return whether an answer came in time and others would get one, too.

        `ready=false` is an answer as well.
        """
        try:
            with grpc.insecure_channel(self._target, options=_OWN_CONNECTION) as channel:
                csi_pb2_grpc.IdentityStub(channel).Probe(
                    csi_pb2.ProbeRequest(), timeout=self._timeout_seconds, wait_for_ready=True
                )
        except grpc.RpcError:
            return False
        if self._is_stuck():
            log.error("calls that hang take every place, so no other call is served")
            return False
        return True
