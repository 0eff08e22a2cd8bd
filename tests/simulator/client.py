"""Call the simulated API with signed requests, and see every answer, refusals too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from exoscale_auth import ExoscaleV2Auth

from tests.support.simulator_process import API_KEY, API_SECRET, SimulatorProcess

Json = dict[str, Any]


class ZoneClient:
    """One zone of a simulated cloud, as a client sees it.

    Attributes:
        zone: Its name.
    """

    def __init__(self, cloud: SimulatorProcess, zone: str) -> None:
        self.zone = zone
        self._url = f"{cloud.base_url}/{zone}/v2"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = ExoscaleV2Auth(API_KEY, API_SECRET)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, and return whatever answer comes."""
        return self._session.request(
            method, f"{self._url}/{path}", json=body, params=query, timeout=30
        )

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read something that is there."""
        return _json(self.send("GET", path, query=query))

    def begin(self, method: str, path: str, body: object = None) -> Json:
        """Begin an operation, and return it."""
        return _json(self.send(method, path, body))

    def complete(self, method: str, path: str, body: object = None) -> str:
        """Begin an operation, wait until it has succeeded, and return the id of its resource."""
        operation = self.wait(self.begin(method, path, body))
        assert operation["state"] == "success", operation
        return str(operation["reference"]["id"])

    def wait(self, operation: Json) -> Json:
        """Ask for an operation until it has ended."""
        while operation["state"] == "pending":
            operation = self.get(f"operation/{operation['id']}")
        return operation

    def create_volume(self, **fields: object) -> str:
        """Create a volume, of 1 GiB unless said otherwise, and return its id."""
        return self.complete("POST", "block-storage", {"size": 1, **fields})

    def attach(self, volume: str, instance: str) -> str:
        """Attach a volume."""
        body = {"instance": {"id": instance}}
        return self.complete("PUT", f"block-storage/{volume}:attach", body)

    def detach(self, volume: str) -> str:
        """Detach a volume."""
        return self.complete("PUT", f"block-storage/{volume}:detach")

    def create_snapshot(self, volume: str, **fields: object) -> str:
        """Take a snapshot of a volume, and return its id."""
        return self.complete("POST", f"block-storage/{volume}:create-snapshot", fields)

    def volume(self, id: str) -> Json:
        """Return a volume."""
        return self.get(f"block-storage/{id}")

    def snapshot(self, id: str) -> Json:
        """Return a snapshot."""
        return self.get(f"block-storage-snapshot/{id}")


def _json(response: requests.Response) -> Json:
    assert response.status_code == 200, f"{response.status_code}: {response.text}"
    return dict(response.json())
