"""What a service brings with it when a process is put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from csi_exoblock.background import Background
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.metrics import Metrics

Service = TypeVar("Service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Service]):
    """One of the two services with what belongs to it.

    Attributes:
        is_ready: Tells whether it has once been able to work (N14).
        background: Its work in the background, which begins once the CSI socket answers.
        end: Ends what `background` may be waiting in.
        drain: Waits for work that should not be cut short, at most until the deadline.
    """

    service: Service
    is_ready: Callable[[], bool]
    background: Sequence[Background]
    end: Callable[[], None] = field(default=lambda: None)
    drain: Callable[[Deadline], None] = field(default=lambda deadline: None)

    def start(self) -> None:
        """Begin the work in the background."""
        for each in self.background:
            each.start()

    def stop(self, deadline: Deadline) -> None:
        """End that work, and wait until the deadline for what no call waits for any more."""
        for each in self.background:
            each.stop()
        self.end()
        self.drain(deadline)


def background(
    name: str,
    task: Callable[[], float | None],
    *,
    timing: Timing,
    metrics: Metrics,
    first_seconds: float = 0.0,
) -> Background:
    """Return a task of a service as background work whose exceptions are counted (S27)."""
    return Background(
        task,
        name=name,
        restart_seconds=timing.background_restart,
        count_error=metrics.background_errors.labels(name).inc,
        first_seconds=first_seconds,
    )
