"""The paths of the HTTP endpoint: /livez, /livez/why, /readyz and the metrics (N14, F7, F11)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from csi_exoblock.escaping import printable
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import ProcessTiming
from csi_exoblock.web import Answer

log = logging.getLogger(__name__)

_MISSES = 3
"""After this many misses in a row the process counts as stuck."""

_MOST_CHARACTERS = 900  # kubelet cuts the text of an event at 1024

_OK: Final = Answer(body=b"ok\n")
_STUCK: Final = Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, body=b"no longer\n")


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
            log.warning("the driver's own Probe failed", extra={"misses": self._misses})
        return self._timing.livez_interval


class Probes:
    """Answers kubelet's probes and Prometheus.

    Args:
        trouble: Returns why the process is not ready yet; empty once it is.
        metrics_path: The path of the metrics.
    """

    def __init__(
        self,
        *,
        liveness: Liveness,
        trouble: Callable[[], str],
        metrics: Metrics,
        metrics_path: str,
    ) -> None:
        self._liveness = liveness
        self._trouble = trouble
        self._metrics = metrics
        self._metrics_path = metrics_path

    def answer(self, path: str) -> Answer:
        """Return the answer for a path."""
        if path == "/livez":
            return _OK if self._liveness.is_alive() else _STUCK
        if path == "/livez/why":
            return self._alive_but()
        if path == "/readyz":
            trouble = self._trouble()
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, trouble) if trouble else _OK
        if path == self._metrics_path:
            return Answer(body=self._metrics.text().encode(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
        there = f"there is /livez, /livez/why, /readyz and {self._metrics_path}\n"
        return Answer(status=HTTPStatus.NOT_FOUND, body=there.encode())

    def _alive_but(self) -> Answer:
        """Return what /livez does; while the process is not ready, redirect to nowhere and say why.

        Kubelet shows nobody what a failed probe answered. A redirect that leads nowhere counts as
        well, and kubelet writes its text into a warning event of the pod.
        """
        alive, trouble = self._liveness.is_alive(), self._trouble()
        if alive and trouble:
            return _answer(HTTPStatus.MULTIPLE_CHOICES, f"not ready: {trouble}")
        return _OK if alive else _STUCK


def _answer(status: HTTPStatus, text: str) -> Answer:
    return Answer(status=status, body=f"{printable(text)[:_MOST_CHARACTERS]}\n".encode())
