"""Start the simulated cloud as a process of its own, and look behind its API.

    with SimulatorProcess.start("--latency", "0.05s", "--local-instance", "none") as cloud:
        driver = start_driver(api_endpoint=cloud.api_endpoint, environment=cloud.environment)
        cloud.add_fault(fault="drop", operation="create-block-storage-volume", when="after")
        ...
        assert cloud.operations_called()[0] == "list-block-storage-volumes"

Without `--local-instance none`, volumes attached to the local instance become real loop devices
when the tests run as root; then give it a `--device-dir` of your own.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TextIO

import requests

from csi_exoblock.exoscale.routes import role_policy
from tests.support.forks import Fork, forks

API_KEY = "EXOtests"
"""A key that may do everything."""

DRIVER_KEY = "EXOdriver"
"""A key whose role has the operations that the driver calls, and no other (F14)."""

API_SECRET = "a secret of the tests"
START_SECONDS = 60.0
STOP_SECONDS = 60.0

_ROUND_TRIPS = 3  # a write takes more turns of the simulator's loop than a question
_ANNOUNCEMENT = re.compile(r"simulator listening on (\S+) zones (\S+) instances (\S+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """One call of the API as the simulator saw it; `status` is None when no answer went out."""

    number: int
    zone: str
    operation: str
    at: float
    user_agent: str
    resource: str | None
    instance: str | None
    status: int | None
    seconds: float | None
    fault: str | None


class SimulatorProcess:
    """A running simulator.

    Attributes:
        base_url: Such as `http://127.0.0.1:40123`.
        zones: The zones it plays.
        instances: `zone/uuid` of the instances that exist from the start: the local ones.
    """

    def __init__(self, process: Fork, output: TextIO, announcement: re.Match[str]) -> None:
        self._process = process
        self._output = output
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy cannot reach this host
        self.base_url = announcement[1]
        self.zones = tuple(announcement[2].split(","))
        self.instances = () if announcement[3] == "-" else tuple(announcement[3].split(","))

    @classmethod
    def start(cls, *flags: str, listen: str = "127.0.0.1:0") -> Self:
        """Start a simulator with the given flags, and return it when it answers.

        It ends when the test process dies, however that happens.
        """
        read, write = os.pipe()
        output = os.fdopen(read)
        try:
            process = forks().start(
                ["simulator", "--listen", listen,
                 "--api-key", API_KEY, "--api-secret", API_SECRET, *flags],
                environment={"PATH": os.environ["PATH"]},
                stdout=write,
                stderr=sys.stderr.fileno(),
            )  # fmt: skip
        finally:
            os.close(write)
        try:
            line = output.readline()
        except KeyboardInterrupt:
            process.kill()
            raise
        announcement = _ANNOUNCEMENT.fullmatch(line)
        if announcement is None:
            output.close()
            process.kill()
            process.wait()
            raise AssertionError(f"the simulator did not start; it said {line!r}")
        cloud = cls(process, output, announcement)
        cloud.put_key(DRIVER_KEY, API_SECRET, permitted_operations())
        return cloud

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def api_endpoint(self) -> str:
        """The driver's `--api-endpoint`."""
        return self.base_url + "/{zone}/v2"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that the driver needs."""
        return {"EXOSCALE_API_KEY": DRIVER_KEY, "EXOSCALE_API_SECRET": API_SECRET}

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM, *, again: bool = False) -> int:
        """End it with a signal, and return its exit code.

        Args:
            again: The signal comes again and again, until it has ended.
        """
        return self._end(number, again=again)

    def kill(self) -> None:
        """End it with SIGKILL: nothing is cleaned up until the next start with its --state-dir."""
        self._end(signal.SIGKILL)

    def clear(self) -> None:
        """Make the cloud what it was at the start, but for the rules of a --faults file."""
        self._send("DELETE", "")

    def calls(self, after: int = 0) -> list[RecordedCall]:
        """Return the calls of the API with a number above `after`, oldest first."""
        return [RecordedCall(**call) for call in self._get(f"calls?after={after}")]

    def operations_called(self, after: int = 0) -> list[str]:
        """Return the operation ids of the calls, oldest first."""
        return [call.operation for call in self.calls(after)]

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        self._send("DELETE", "calls")

    def add_fault(self, **rule: Any) -> int:
        """Make calls go wrong, and return the rule's id.

        Args:
            rule: The fields of `csi_exoblock.simulator.faults.faults.Rule`.
        """
        return int(self._send("POST", "faults", rule)["id"])

    def remove_fault(self, id: int) -> None:
        """Lift a rule."""
        self._send("DELETE", f"faults/{id}")

    def clear_faults(self) -> None:
        """Lift all rules."""
        self._send("DELETE", "faults")

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules in force, with how many calls each was about and befell."""
        return list(self._get("faults"))

    def modes(self) -> dict[str, str]:
        """Return the answer in force for each question about the real API."""
        return dict(self._get("modes"))

    def set_mode(self, question: str, answer: str) -> None:
        """Choose how the cloud answers a question about the real API."""
        self._send("PUT", "modes", {question: answer})

    def put_key(self, key: str, secret: str, role: Sequence[str] | None = None) -> None:
        """Let an API key in, for all operations or those of a role."""
        self._send("PUT", f"keys/{key}", {"secret": secret, "role": role})

    def revoke_key(self, key: str) -> None:
        """Let an API key in no longer."""
        self._send("DELETE", f"keys/{key}")

    def limit_calls(self, per_second: float | None) -> None:
        """Limit the calls per second in a zone; None removes the limit."""
        self._send("PUT", "throttle", {"per-second": per_second})

    def quotas(self) -> dict[str, int]:
        """Return the limits of the organisation, by resource."""
        return dict(self._get("quotas"))

    def set_quota(self, resource: str, limit: int) -> None:
        """Set a limit of the organisation; -1 is unlimited."""
        self._send("PUT", "quotas", {resource: limit})

    def list_zones_as(self, *zones: str) -> None:
        """Have the API's list of zones show these alone; all go on working."""
        self._send("PUT", "zones", {"listed": zones})

    def set_latency(self, kind: str, seconds: float) -> None:
        """Set how long a kind of operation takes, before --time-scale; `all` sets every one's."""
        self._send("PUT", "latencies", {kind: seconds})

    def latency(self, kind: str) -> float:
        """Return how long a kind of operation takes, before --time-scale."""
        return float(self._get("latencies")[kind])

    def vary(self, **variation: float) -> None:
        """Let times vary as `--vary` does; without arguments they no longer do."""
        self._send("PUT", "variation", variation)

    def variation(self) -> dict[str, Any]:
        """Return how times vary."""
        return dict(self._get("variation"))

    def add_instance(self, zone: str, *, size: str = "medium", local: bool = False) -> str:
        """Add a running instance to a zone, and return its UUID."""
        return str(self._send("POST", f"instances/{zone}", {"size": size, "local": local})["id"])

    def set_instance_state(self, zone: str, id: str, state: str) -> None:
        """Change the state of an instance."""
        self._send("PUT", f"instances/{zone}/{id}", {"state": state})

    def lock_instance(self, zone: str, id: str, *, locked: bool = True) -> None:
        """Protect an instance against every change, or no longer."""
        self._send("PUT", f"instances/{zone}/{id}", {"locked": locked})

    def remove_instance(self, zone: str, id: str) -> None:
        """Make an instance unknown."""
        self._send("DELETE", f"instances/{zone}/{id}")

    def volumes(self) -> list[dict[str, Any]]:
        """Return the volumes of all zones: the API's fields, and zone, source, device."""
        return list(self._get("volumes"))

    def add_volumes(self, zone: str, count: int, prefix: str = "volume-") -> None:
        """Fill a zone with detached volumes, beyond all quotas."""
        self._send("POST", f"volumes/{zone}", {"count": count, "prefix": prefix})

    def set_volume_state(self, zone: str, id: str, state: str, **instance: str | None) -> None:
        """Put a volume into a state, as if it came to that by itself.

        Args:
            instance: `instance="<uuid>"` or `instance=None` also says which instance has it.
        """
        self._send("PUT", f"volumes/{zone}/{id}", {"state": state, **instance})

    def relabel_volume(
        self, zone: str, id: str, labels: Mapping[str, str | None], *, after_get: bool = False
    ) -> None:
        """Add labels to a volume and remove those that are None, at one moment.

        Args:
            after_get: That moment is when a get has shown the volume and is not answered yet.
        """
        body = {"labels": dict(labels), "after-get": after_get}
        self._send("PUT", f"volumes/{zone}/{id}/labels", body)

    def add_snapshot(self, zone: str, volume: str, name: str) -> str:
        """Add a snapshot of a volume, and return its UUID."""
        return str(self._send("POST", f"snapshots/{zone}", {"volume": volume, "name": name})["id"])

    def snapshots(self) -> list[dict[str, Any]]:
        """Return the snapshots of all zones: the API's fields, and zone."""
        return list(self._get("snapshots"))

    def set_snapshot_state(self, zone: str, id: str, state: str) -> None:
        """Put a snapshot into a state, as if it came to that by itself."""
        self._send("PUT", f"snapshots/{zone}/{id}", {"state": state})

    def operations(self) -> list[dict[str, Any]]:
        """Return the operations: the API's fields, and zone, kind, seconds."""
        return list(self._get("operations"))

    def take_in_what_was_sent(self) -> None:
        """Return when it has read what a client sent that is dead by now.

        A new driver allows 5 s for that (C1). Scaled, that can be 100 ms, which a busy machine
        takes to schedule the simulator. It reads its connections in the order of their coming, so
        when it answers questions asked now it has read all that was sent before.
        """
        for _ in range(_ROUND_TRIPS):
            self.operations()

    def cloud_seconds(self) -> float:
        """Return how long all finished operations took together: the cloud's own time."""
        return float(sum(operation["seconds"] or 0.0 for operation in self.operations()))

    def finish_operation(self, zone: str, id: str, **ending: Any) -> None:
        """End an operation that hangs: successfully, unless told how.

        Args:
            ending: The fields of `csi_exoblock.simulator.state.resources.Ending`.
        """
        self._send("POST", f"operations/{zone}/{id}", ending)

    def _get(self, path: str) -> Any:
        return self._send("GET", path)

    def _send(self, method: str, path: str, body: object = None) -> Any:
        response = self._session.request(
            method, f"{self.base_url}/_simulator/{path}", json=body, timeout=START_SECONDS
        )
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def _end(self, number: signal.Signals, *, again: bool = False) -> int:
        self._session.close()
        try:
            while self._process.poll() is None:
                self._process.send_signal(number)
                if not again:
                    break
            return self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._output.close()


def permitted_operations() -> list[str]:
    """Return what the driver's role permits."""
    (rule,) = role_policy()["services"]["compute"]["rules"]
    return re.findall(r"'([a-z-]+)'", rule["expression"])
