"""The driver's own Probe, asked through its own socket (N14)."""

from __future__ import annotations

from pathlib import Path

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc


class SelfProbe:
    """Asks the way a sidecar does, so that a pool whose threads are all stuck is noticed."""

    def __init__(self, *, socket_path: Path, timeout_seconds: float) -> None:
        self._identity = csi_pb2_grpc.IdentityStub(grpc.insecure_channel(f"unix:{socket_path}"))
        self._timeout_seconds = timeout_seconds

    def __call__(self) -> bool:
        """Tell whether an answer came in time; `ready=false` is an answer too."""
        try:
            self._identity.Probe(
                csi_pb2.ProbeRequest(), timeout=self._timeout_seconds, wait_for_ready=True
            )
        except grpc.RpcError:
            return False
        return True
