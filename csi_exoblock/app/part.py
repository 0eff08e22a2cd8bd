"""What a service brings with it when a process is put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Service = TypeVar("Service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Service]):
    """One of the two services with what belongs to it.

    Attributes:
        is_ready: Tells whether it has once been able to work (N14).
        start: Begins its work in the background, once the CSI socket answers.
        stop: Ends that work.
    """

    service: Service
    is_ready: Callable[[], bool]
    start: Callable[[], None]
    stop: Callable[[], None]
