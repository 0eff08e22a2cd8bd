"""A driver's HTTP endpoint, as kubelet and Prometheus see it."""

from __future__ import annotations

import socket

import requests

from tests.support.metrics import value
from tests.support.ports import free_port

LIMIT_SECONDS = 30.0


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

    def read(self, path: str) -> requests.Response:
        """Return an answer."""
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=LIMIT_SECONDS)

    def connect(self) -> socket.socket:
        """Return a connection on which nothing was said yet."""
        return socket.create_connection(("127.0.0.1", self.port), LIMIT_SECONDS)

    def scrape(self) -> str:
        """Return the metrics as Prometheus gets them."""
        answer = self.read("/metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.text

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample as it is now, `None` if there is none."""
        return value(self.scrape(), name, labels)

    def shows(self, name: str, wanted: float, **labels: str) -> bool:
        """Return whether a sample has a value now, and could be read.

        One that lives a hundred times as fast has 50 ms for a client: too few on a busy machine.
        """
        try:
            return self.value(name, **labels) == wanted
        except requests.ConnectionError:
            return False

    def probes(self) -> float:
        """Return how often the driver has asked itself, or was asked, and answered."""
        labels = {
            "driver_name": "exoblock.csi.exoscale.com",
            "method_name": "/csi.v1.Identity/Probe",
            "grpc_status_code": "OK",
        }
        name = "csi_plugin_operations_seconds_count"
        return self.value(name, **labels) or 0
