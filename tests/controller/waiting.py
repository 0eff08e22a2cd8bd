"""Waiting for what the driver does at the cloud."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

import grpc

from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

PAUSE_SECONDS = 0.01
_QUIET_SECONDS = 0.5

T = TypeVar("T")

_NOT_FINAL = (
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


def wait_until_called(cloud: SimulatorProcess, operation: str, times: int = 1) -> None:
    """Wait until the cloud has answered a number of calls of that kind."""

    def is_called() -> bool:
        answered = [call.operation for call in cloud.calls() if call.status]
        return answered.count(operation) >= times

    wait_until(
        is_called,
        f"{operation} is called",
        pause_seconds=PAUSE_SECONDS,
        explain=lambda: f"but {cloud.operations_called()} were",
    )


def wait_until_nobody_calls(cloud: SimulatorProcess) -> None:
    """Return once the cloud was not called for a while."""
    seen = -1
    while (called := len(cloud.calls())) != seen:
        seen = called
        threading.Event().wait(_QUIET_SECONDS)


def as_a_sidecar_would(call: Callable[[], T]) -> T:
    """Repeat a call while its code says that it may still be running, and return its answer.

    A call that ran out of its caller's time holds its name a moment longer: until the request that
    it had sent is answered.
    """

    def ended() -> tuple[T] | None:
        try:
            return (call(),)
        except grpc.RpcError as error:
            if cast(grpc.Call, error).code() not in _NOT_FINAL:
                raise
            return None

    return wait_until(ended, "the call comes to its end", pause_seconds=PAUSE_SECONDS)[0]
