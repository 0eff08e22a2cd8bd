"""A service together with its readiness, its background work and its shutdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from csi_exoblock.background import Background
from csi_exoblock.concurrency import Deadline
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing

Service = TypeVar("Service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Service]):
    """One of the two services, controller or node, and what a process needs to run it.

    Attributes:
        trouble: Returns why the service has not been able to work yet; empty once it was (N14).
        background: Its background work, which begins once the CSI socket answers.
        end: Ends the waits of the background work.
        drain: Waits, at most until the deadline, for work that should not be interrupted.
    """

    service: Service
    trouble: Callable[[], str]
    background: Sequence[Background]
    end: Callable[[], None] = field(default=lambda: None)
    drain: Callable[[Deadline], None] = field(default=lambda deadline: None)

    def start(self) -> None:
        """Begin the background work."""
        for each in self.background:
            each.start()

    def stop(self, deadline: Deadline) -> None:
        """End the background work, and wait until the deadline for work that no call waits for."""
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
    """Return a service's task as background work whose exceptions are counted (S27)."""
    return Background(
        task,
        name=name,
        restart_seconds=timing.background_restart,
        count_error=metrics.background_errors.labels(name).inc,
        first_seconds=first_seconds,
    )
