"""Somebody who changes things in the cloud beside the driver, with requests of their own."""

from __future__ import annotations

from collections.abc import Mapping

import requests
from exoscale_auth import ExoscaleV2Auth

from tests.support.simulator_process import API_KEY, API_SECRET, SimulatorProcess


class Administrator:
    """Calls the API of the cloud directly."""

    def __init__(self, cloud: SimulatorProcess) -> None:
        self._cloud = cloud

    def label_volume(self, volume_id: str, labels: Mapping[str, str]) -> None:
        """Add labels to a volume, the others stay; return once they are there."""
        self.set_labels(volume_id, {**self._send("GET", self._path(volume_id))["labels"], **labels})

    def set_labels(self, volume_id: str, wanted: Mapping[str, str]) -> None:
        """Give a volume these labels and no others; return once it has them."""
        path = self._path(volume_id)
        self._send("PUT", path, {"labels": dict(wanted)})
        while self._send("GET", path)["labels"] != wanted:
            pass

    def rename_volume(self, volume_id: str, name: str) -> None:
        """Give a volume another name; return once it has it."""
        path = self._path(volume_id)
        self._send("PUT", path, {"name": name})
        while str(self._send("GET", path)["name"]) != name:
            pass

    def send_labels(self, volume_id: str, labels: Mapping[str, str]) -> None:
        """Send labels for a volume; whether they replace the others is the cloud's choice."""
        self._send("PUT", self._path(volume_id), {"labels": dict(labels)})

    def attach_volume(self, volume_id: str, node_id: str) -> None:
        """Attach a volume to an instance; return once it is."""
        path = self._path(volume_id)
        self._send("PUT", f"{path}:attach", {"instance": {"id": node_id.split("/")[1]}})
        while str(self._send("GET", path)["state"]) != "attached":
            pass

    def detach_volume(self, volume_id: str) -> None:
        """Detach a volume; return once it is."""
        path = self._path(volume_id)
        self._send("PUT", f"{path}:detach")
        while str(self._send("GET", path)["state"]) != "detached":
            pass

    def resize_volume(self, volume_id: str, gib: int) -> None:
        """Resize a volume."""
        self._send("PUT", f"{self._path(volume_id)}:resize-volume", {"size": gib})

    def delete_volume(self, volume_id: str) -> None:
        """Delete a volume."""
        self._send("DELETE", self._path(volume_id))

    def take_snapshot(self, volume_id: str, name: str) -> None:
        """Take a snapshot of a volume; return once it is taken."""
        path = self._path(volume_id)
        self._send("POST", f"{path}:create-snapshot", {"name": name})
        while str(self._send("GET", path)["state"]) == "snapshotting":
            pass

    def label_snapshot(self, snapshot_id: str, labels: Mapping[str, str]) -> None:
        """Add labels to a snapshot, the others stay; return once they are there."""
        path = self._path_of_snapshot(snapshot_id)
        wanted = {**self._send("GET", path)["labels"], **labels}
        self._send("PUT", path, {"labels": wanted})
        while self._send("GET", path)["labels"] != wanted:
            pass

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot."""
        self._send("DELETE", self._path_of_snapshot(snapshot_id))

    def _path(self, volume_id: str) -> str:
        zone, uuid = volume_id.split("/")
        return self._cloud.api_endpoint.format(zone=zone) + f"/block-storage/{uuid}"

    def _path_of_snapshot(self, snapshot_id: str) -> str:
        zone, uuid = snapshot_id.split("/")
        return self._cloud.api_endpoint.format(zone=zone) + f"/block-storage-snapshot/{uuid}"

    def _send(self, method: str, url: str, body: object = None) -> dict[str, dict[str, str]]:
        auth = ExoscaleV2Auth(API_KEY, API_SECRET)
        response = requests.request(method, url, json=body, auth=auth, timeout=60)
        response.raise_for_status()
        answer: dict[str, dict[str, str]] = response.json()
        return answer
