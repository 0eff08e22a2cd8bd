"""Waiting for what the driver does at the cloud."""

from __future__ import annotations

import threading

from tests.simulator_process import SimulatorProcess

LIMIT_SECONDS = 20.0
PAUSE_SECONDS = 0.01


def wait_until_called(cloud: SimulatorProcess, operation: str) -> None:
    """Return once the cloud has answered a call of that kind."""
    pause = threading.Event()
    for _ in range(int(LIMIT_SECONDS / PAUSE_SECONDS)):
        if any(call.operation == operation and call.status for call in cloud.calls()):
            return
        pause.wait(PAUSE_SECONDS)
    raise AssertionError(f"{operation} was not called; but {cloud.operations_called()} were")
