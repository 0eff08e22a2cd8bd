"""Wait until a driver says that it is ready, or has ended."""

from __future__ import annotations

import subprocess
import time

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.support.forks import Fork

_START_SECONDS = 120.0  # a process that dies at its start is noticed sooner
_PAUSE_SECONDS = 0.01
_PROBE_SECONDS = 1.0


def ready_or_ended(channel: grpc.Channel, process: subprocess.Popen[bytes] | Fork) -> int | None:
    """Return None once Probe says ready, the exit code if the driver has ended before.

    Raises:
        AssertionError: It is neither within the time.
    """
    probe = csi_pb2_grpc.IdentityStub(channel).Probe
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if (code := process.poll()) is not None:
            return code
        try:
            if probe(csi_pb2.ProbeRequest(), timeout=_PROBE_SECONDS).ready.value:
                return None
        except grpc.RpcError:
            pass  # no socket yet
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"the driver with pid {process.pid} is never ready")
