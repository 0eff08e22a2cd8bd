"""The driver's own Probe, asked through its own socket (N14)."""

from __future__ import annotations

from pathlib import Path

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc

# Connections are shared by all channels of a process unless each keeps its own.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class SelfProbe:
    """Asks the way a sidecar that has just started does.

    So a pool whose threads are all stuck is noticed, and so is a socket that was removed: those who
    are connected to it don't notice, but nobody new can reach the driver.
    """

    def __init__(self, *, socket_path: Path, timeout_seconds: float) -> None:
        self._target = f"unix:{socket_path}"
        self._timeout_seconds = timeout_seconds

    def __call__(self) -> bool:
        """Tell whether an answer came in time; `ready=false` is an answer too."""
        try:
            with grpc.insecure_channel(self._target, options=_OWN_CONNECTION) as channel:
                csi_pb2_grpc.IdentityStub(channel).Probe(
                    csi_pb2.ProbeRequest(), timeout=self._timeout_seconds, wait_for_ready=True
                )
        except grpc.RpcError:
            return False
        return True
