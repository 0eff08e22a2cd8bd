"""The simulated cloud: a process like any other of the cluster, seen here from behind its API."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import requests
from exoscale_auth import ExoscaleV2Auth

from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.documents import Document, Json
from tests.kubernetes.cluster.places import (
    CLOUD,
    CLOUD_PORT,
    DEVICES,
    DOOMED_ZONE,
    FAR_INSTANCE,
    INSTANCE,
    OTHER_ZONE,
    SECOND_INSTANCE,
    ZONE,
)
from tests.support.waiting import wait_until

API_ENDPOINT: Final = f"http://127.0.0.1:{CLOUD_PORT}/{{zone}}/v2"
CREDENTIALS: Final = {
    "EXOSCALE_API_KEY": "EXOkubernetes",
    "EXOSCALE_API_SECRET": "a secret of the tests",
}

_CONTROL = f"http://127.0.0.1:{CLOUD_PORT}/_simulator"
_TIMEOUT_SECONDS = 30
_NAMESPACE_LABELS = ("exoblock/snapshot-namespace", "exoblock/namespace")
# A tenth of the real cloud's: long enough to be interrupted, short enough to wait for.
LATENCY_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudVolume:
    """A volume as the cloud has it.

    Attributes:
        instance: The instance it is attached to, empty when it is detached.
        device: The loop device that it is on this machine, empty when it is none.
        detached_in_use: Whether its device was ever taken away while something used it.
    """

    zone: str
    uuid: UUID
    name: str
    size_gib: int
    state: str
    instance: str
    device: str
    detached_in_use: bool
    labels: dict[str, str]

    @property
    def pending_gib(self) -> str:
        """The size in GiB that it gets before its next attach, empty when it keeps its own."""
        return self.labels.get("exoblock/pending-size", "").partition("-")[0]


class Cloud:
    """What is in the cloud, and what can be made to go wrong there."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._faults: list[int] = []
        self.daemon = Daemon(
            name="simulator",
            command=[
                sys.executable,
                "-m",
                "csi_exoblock",
                "simulator",
                f"--listen=127.0.0.1:{CLOUD_PORT}",
                f"--sim-zones={ZONE},{OTHER_ZONE},{DOOMED_ZONE}",
                f"--local-instance={ZONE}/{INSTANCE}",
                f"--local-instance={ZONE}/{SECOND_INSTANCE}",
                f"--local-instance={OTHER_ZONE}/{FAR_INSTANCE}",
                f"--device-dir={DEVICES}",
                f"--state-dir={CLOUD}",
                f"--latency={LATENCY_SECONDS}s",
            ],
            environment=CREDENTIALS,
        )

    def start(self) -> None:
        """Start it and return when it answers."""
        self.daemon.start()
        wait_until(self._answers, f"the simulator answers; its log is {self.daemon.log}")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def volumes(self, namespace: str = "") -> list[CloudVolume]:
        """Return all volumes, or those made for claims of one namespace."""
        volumes = [_volume(found) for found in self._list("volumes")]
        return [
            volume
            for volume in volumes
            if not namespace or volume.labels.get("exoblock/namespace") == namespace
        ]

    def volume(self, uuid: UUID) -> CloudVolume | None:
        """Return a volume, or None when there is none of that id."""
        return next((volume for volume in self.volumes() if volume.uuid == uuid), None)

    def snapshots(self, namespace: str = "") -> list[UUID]:
        """Return the ids of all snapshots, or those of one namespace; clones' are among them."""
        return [
            UUID(snapshot.text("id"))
            for snapshot in self._list("snapshots")
            if not namespace or namespace in map(snapshot.texts("labels").get, _NAMESPACE_LABELS)
        ]

    def add_volume(self, zone: str, name: str) -> UUID:
        """Make a blank volume of 1 GiB as somebody else would, and return its id."""
        self._send("POST", f"volumes/{zone}", {"count": 1, "prefix": name})
        return next(volume.uuid for volume in self.volumes() if volume.name == f"{name}0")

    def attach_volume(self, zone: str, uuid: UUID, instance: str) -> None:
        """Attach a volume as somebody else would, and return once it is."""
        url = f"{API_ENDPOINT.format(zone=zone)}/block-storage/{uuid}:attach"
        auth = ExoscaleV2Auth(*CREDENTIALS.values())
        body = {"instance": {"id": instance}}
        self._session.put(url, json=body, auth=auth, timeout=_TIMEOUT_SECONDS).raise_for_status()
        wait_until(lambda: self.state_of(uuid) == "attached", "the volume is attached")

    def state_of(self, uuid: UUID) -> str:
        """Return the state of a volume, such as `detached`; empty when there is none of that id."""
        volume = self.volume(uuid)
        return volume.state if volume else ""

    def calls(self, operation: str) -> int:
        """Return how often an operation of the API was called, by its operation id."""
        return sum(call.text("operation") == operation for call in self._list("calls"))

    def calls_after(self, number: int) -> list[Document]:
        """Return the calls of the API with a higher number, oldest first.

        Each has the fields of `csi_exoblock.simulator.state.calls.Call`.
        """
        return self._list(f"calls?after={number}")

    def put_key(self, key: str, secret: str, role: Sequence[str]) -> None:
        """Let an API key in, for the operations of a role."""
        self._send("PUT", f"keys/{key}", {"secret": secret, "role": role})

    def revoke_key(self, key: str) -> None:
        """Let an API key in no longer."""
        self._send("DELETE", f"keys/{key}")

    @contextmanager
    def throttled(self, per_second: float) -> Iterator[None]:
        """Accept no more calls a second in each zone during the block."""
        self._send("PUT", "throttle", {"per-second": per_second})
        try:
            yield
        finally:
            self._send("PUT", "throttle", {"per-second": None})

    def add_fault(self, **rule: str | float) -> None:
        """Make calls go wrong, until `heal`.

        Args:
            rule: The fields of `csi_exoblock.simulator.faults.faults.Rule`.
        """
        self._faults.append(self._send("POST", "faults", rule).number("id"))

    def heal(self) -> None:
        """End the faults that were added here; those of a flow beside this one stay."""
        while self._faults:
            self._send("DELETE", f"faults/{self._faults.pop()}")

    @contextmanager
    def answering(self, question: str, answer: str) -> Iterator[None]:
        """Let the cloud answer a question about the real API in another way, during the block."""
        usual = self._settings("modes").text(question)
        self._send("PUT", "modes", {question: answer})
        try:
            yield
        finally:
            self._send("PUT", "modes", {question: usual})

    @contextmanager
    def limited(self, resource: str, limit: int) -> Iterator[None]:
        """Have another limit of the organisation during the block; -1 is unlimited."""
        usual = self._settings("quotas").number(resource)
        self.set_quota(resource, limit)
        try:
            yield
        finally:
            self.set_quota(resource, usual)

    def set_quota(self, resource: str, limit: int) -> None:
        """Set a limit of the organisation; -1 is unlimited."""
        self._send("PUT", "quotas", {resource: limit})

    @contextmanager
    def slowed(self, seconds: float) -> Iterator[None]:
        """Let every operation that begins during the block take so long."""
        self._send("PUT", "latencies", {"all": seconds})
        try:
            yield
        finally:
            self._send("PUT", "latencies", {"all": LATENCY_SECONDS})

    def add_instance(self, zone: str) -> str:
        """Start an instance elsewhere than on this machine, and return its id."""
        return self._send("POST", f"instances/{zone}", {}).text("id")

    def remove_instance(self, zone: str, instance: str) -> None:
        """Make an instance unknown, as one that was destroyed."""
        self._send("DELETE", f"instances/{zone}/{instance}")

    def set_instance_state(self, zone: str, instance: str, state: str) -> None:
        """Put an instance into a state, such as `stopped`."""
        self._send("PUT", f"instances/{zone}/{instance}", {"state": state})

    def _answers(self) -> bool:
        try:
            return self._session.get(_CONTROL + "/", timeout=_TIMEOUT_SECONDS).ok
        except requests.ConnectionError:
            return False

    def _settings(self, what: str) -> Document:
        return Document({"settings": self._request("GET", what)}).document("settings")

    def _list(self, what: str) -> list[Document]:
        return list(Document({"items": self._request("GET", what)}).documents("items"))

    def _send(self, method: str, path: str, body: Json | None = None) -> Document:
        return Document({"answer": self._request(method, path, body)}).document("answer")

    def _request(self, method: str, path: str, body: Json | None = None) -> object:
        response = self._session.request(
            method, f"{_CONTROL}/{path}", json=body, timeout=_TIMEOUT_SECONDS
        )
        if not response.ok:
            raise requests.HTTPError(f"{method} {path}: {response.text}", response=response)
        answer: object = response.json()
        return answer


def _volume(found: Document) -> CloudVolume:
    return CloudVolume(
        zone=found.text("zone"),
        uuid=UUID(found.text("id")),
        name=found.text("name"),
        size_gib=found.number("size"),
        state=found.text("state"),
        instance=found.text("instance", "id"),
        device=found.text("device"),
        detached_in_use=found.flag("detached-in-use"),
        labels=found.texts("labels"),
    )
