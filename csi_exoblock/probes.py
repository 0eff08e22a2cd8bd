"""The paths of the HTTP endpoint: /livez, /readyz and the metrics (N14, F7)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import ProcessTiming
from csi_exoblock.web import Answer

log = logging.getLogger(__name__)

_MISSES = 3
"""After this many misses in a row the process counts as stuck."""


class Liveness:
    """Checks regularly whether the process still answers, so that /livez need not wait.

    Args:
        probe: Returns whether the driver answered; takes at most `Timing.livez_timeout`.
    """

    def __init__(self, *, probe: Callable[[], bool], timing: ProcessTiming) -> None:
        self._probe = probe
        self._timing = timing
        self._misses = 0

    def is_alive(self) -> bool:
        """Return whether one of the last three checks was answered."""
        return self._misses < _MISSES

    def ask(self) -> float:
        """Check once; return the seconds until the next check."""
        self._misses = 0 if self._probe() else self._misses + 1
        if self._misses:
            log.warning("no answer to the driver's own Probe", extra={"misses": self._misses})
        return self._timing.livez_interval


class Probes:
    """Answers kubelet's probes and Prometheus.

    Args:
        ready: Returns whether the process is ready.
        metrics_path: The path of the metrics.
    """

    def __init__(
        self,
        *,
        liveness: Liveness,
        ready: Callable[[], bool],
        metrics: Metrics,
        metrics_path: str,
    ) -> None:
        self._liveness = liveness
        self._ready = ready
        self._metrics = metrics
        self._metrics_path = metrics_path

    def answer(self, path: str) -> Answer:
        """Return the answer for a path."""
        if path == "/livez":
            return _health(self._liveness.is_alive())
        if path == "/readyz":
            return _health(self._ready())
        if path == self._metrics_path:
            return Answer(body=self._metrics.text().encode(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
        there = f"there is /livez, /readyz and {self._metrics_path}\n"
        return Answer(status=HTTPStatus.NOT_FOUND, body=there.encode())


def _health(well: bool) -> Answer:
    if well:
        return Answer(body=b"ok\n")
    return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, body=b"not yet, or no longer\n")
