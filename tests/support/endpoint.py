"""A driver's HTTP endpoint, as kubelet and Prometheus see it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import requests

from tests.support.metrics import value
from tests.support.ports import free_port
from tests.support.waiting import wait_until

LIMIT_SECONDS = 30.0

_TRIES = 5


class Endpoint:
    """A driver's HTTP endpoint; nobody serves it yet."""

    def __init__(self) -> None:
        self.port = free_port()
        self.flags = ("--http-endpoint", f"127.0.0.1:{self.port}")

    def get(self, path: str) -> int:
        """Return a status, 0 while nobody listens."""
        try:
            return self.read(path).status_code
        except requests.ConnectionError:
            return 0

    def get_at_once(self, path: str) -> int:
        """Return the status that a client gets who asks only once, 0 if it gets none."""
        try:
            return self._ask(path).status_code
        except requests.ConnectionError:
            return 0

    def read(self, path: str, *, authority: Path | None = None) -> requests.Response:
        """Return an answer; ask again, as kubelet does, if there was none.

        The driver gives up a client that is slow: after half a second where its time runs ten times
        as fast, which is too little on a busy machine.

        Args:
            authority: Who vouches for the endpoint, if it speaks TLS.
        """
        for _ in range(_TRIES - 1):
            with contextlib.suppress(requests.ConnectionError):
                return self._ask(path, authority)
        return self._ask(path, authority)

    def _ask(self, path: str, authority: Path | None = None) -> requests.Response:
        if authority is not None:
            url = f"https://localhost:{self.port}{path}"
            return requests.get(url, verify=str(authority), timeout=LIMIT_SECONDS)
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=LIMIT_SECONDS)

    def connect(self) -> socket.socket:
        """Return a connection on which nothing was said yet."""
        return socket.create_connection(("127.0.0.1", self.port), LIMIT_SECONDS)

    def scrape(self) -> str:
        """Return the metrics as Prometheus gets them.

        A driver that lives ten times as fast has half a second for a client. On a busy machine that
        can be too little, and then it is asked again.
        """
        (answer,) = wait_until(self._answer, "the metrics are given")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.text

    def _answer(self) -> tuple[requests.Response] | None:
        try:
            return (self._ask("/metrics"),)
        except requests.ConnectionError:
            return None

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample as it is now, `None` if there is none."""
        return value(self.scrape(), name, labels)

    def shows(self, name: str, wanted: float, **labels: str) -> bool:
        """Return whether a sample has a value now."""
        return self.value(name, **labels) == wanted

    def probes(self) -> float:
        """Return how often the driver has asked itself, or was asked, and answered."""
        labels = {
            "driver_name": "exoblock.csi.exoscale.com",
            "method_name": "/csi.v1.Identity/Probe",
            "grpc_status_code": "OK",
        }
        name = "csi_plugin_operations_seconds_count"
        return self.value(name, **labels) or 0
