"""One schedule's cloud and drivers: two replicas, of which one leads for each sidecar."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import defaultdict
from typing import Any

import grpc

from tests.chaos.fleet import LOG_LEVEL, NEVER, Driver, Fleet, Kill
from tests.chaos.plan import Plan
from tests.chaos.story import Story
from tests.controller.administrator import Administrator
from tests.support.simulator_process import SimulatorProcess

TIME_SCALE = 0.02
"""A second of a cluster is 20 ms here: long beside a request on loopback, which takes 3."""

CALL_SECONDS = 180 * TIME_SCALE  # the sidecars' own timeout
LEASE_GAP_SECONDS = 15 * TIME_SCALE  # in which a lost leader's lease runs out
FLAGS = (
    "controller",
    *("--time-scale", str(TIME_SCALE), "--log-level", os.environ.get(LOG_LEVEL, "warning")),
    *("--api-timeout", f"{5 / TIME_SCALE}s", "--cluster-id", "chaos"),
)
_HURRIED = ("--time-scale", "0.0005", "--api-timeout", f"{5 / 0.0005}s")
_SWEEP_SECONDS = 20.0  # what is left of the faults may befall the first sweeps
_CLONE_LABEL = "exoblock/clone-of"
NODES_A_ZONE = 2
_MOST_CALLS_BEFORE_CANCEL = 4

_NOT_READ = b"zone not read"
_CAPABILITIES = re.compile(r"volume_capabilit(y|ies) \{.*?\n\}\n", re.DOTALL)


class Refused(Exception):
    """A call's error, as a sidecar reads it."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_final(self) -> bool:
        """Whether a sidecar believes that nothing was left behind (requirements, section 0)."""
        return self.code not in (
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.ABORTED,
        )


class World:
    """The cloud as the plan wants it, and the drivers that the sidecars talk to."""

    def __init__(
        self, *, cloud: SimulatorProcess, fleet: Fleet, plan: Plan, mutant: str = ""
    ) -> None:
        self.cloud = cloud
        self.plan = plan
        self.story = Story()
        self._fleet = fleet
        self._mutant = mutant
        self._kills = list(plan.kills)
        self._lock = threading.Lock()
        self._drivers: dict[int, Driver] = {}
        self._leaders: defaultdict[str, int] = defaultdict(int)
        self._vacant_until: defaultdict[str, float] = defaultdict(float)
        self._in_flight: defaultdict[str, set[Any]] = defaultdict(set)
        self.restarts = 0
        self.leader_changes = 0
        self.cancels: list[str] = []
        self.killed: list[str] = []
        self.mended = 0
        self._log_begins = self._fleet.log.stat().st_size if self._fleet.log.exists() else 0
        self._prepare()

    def call(self, sidecar: str, method: str, request: Any) -> Any:
        """Call the driver that leads for a sidecar and return its answer.

        Raises:
            Refused: It answered with an error, or died, or the sidecar lost its lease.
        """
        ordinal = self.story.next_call()
        self._list_zones(ordinal)
        if ordinal in self.plan.leader_changes:
            self.change_leader(sidecar)
        replica = self._leader_of(sidecar)
        what = f"{ordinal} {sidecar}@{replica} {method} {_about(request)}"
        self.story.tell(f"{what} ...")
        try:
            answer = self._send(sidecar, replica, method, request, cancel=ordinal)
        except Refused as refused:
            self.story.tell(f"{what} -> {refused.code.name}: {refused}")
            if refused.code is grpc.StatusCode.UNKNOWN:
                self.story.breach("no code is UNKNOWN", what)
            raise
        self.story.tell(f"{what} -> OK {_about(answer)}")
        return answer

    def sweep(self) -> int:
        """Have what clones could not tidy up be swept (N6); return how much that is.

        Drivers do so hourly: here one that lives so fast that an hour takes it 1.8 s.
        """
        left = self._left_by_clones()
        if left:
            self.story.tell(f"a driver sweeps {left} snapshots that clones have left")
            driver = self._fleet.start(flags=("--zones", ",".join(self.plan.zones), *_HURRIED))
            end = time.monotonic() + _SWEEP_SECONDS
            while self._left_by_clones() and time.monotonic() < end:
                time.sleep(TIME_SCALE)
            driver.kill()
        return left

    def _left_by_clones(self) -> int:
        return sum(_CLONE_LABEL in each["labels"] for each in self.cloud.snapshots())

    def was_not_read(self, zone: str) -> bool:
        """Return whether a driver logged that it could not list a zone, or not in time.

        It waits for other zones 2 s, so 40 ms here, which a busy machine can take to list one.
        """
        with self._fleet.log.open("rb") as log:
            log.seek(self._log_begins)
            return any(_NOT_READ in line and zone.encode() in line for line in log)

    def close(self) -> None:
        """End the drivers."""
        with self._lock:
            for driver in self._drivers.values():
                driver.kill()
            self._drivers.clear()

    def nodes_in(self, zone: str) -> list[str]:
        """Return the ids of a zone's nodes."""
        return self._nodes[zone]

    def _prepare(self) -> None:
        self.cloud.clear()
        self._nodes = {
            zone: [f"{zone}/{self.cloud.add_instance(zone)}" for _ in range(NODES_A_ZONE)]
            for zone in self.plan.zones
        }
        self.strangers = {
            life.number: self._add_stranger(f"pvc-{life.number}")
            for life in self.plan.lives
            if life.stranger
        }
        for question, answer in self.plan.modes.items():
            self.cloud.set_mode(question, answer)
            self.story.tell(f"mode {question}={answer}")
        for fault in self.plan.faults:
            self.cloud.add_fault(**fault.rule())
            self.story.tell(f"fault {fault}")
        self._list_zones(0)
        self.cloud.clear_calls()

    def _list_zones(self, ordinal: int) -> None:
        """Have the API list the zones that the plan wants from a call on."""
        if (shown := self.plan.zone_lists.get(ordinal)) is not None:
            self.cloud.list_zones_as(*shown)
            self.story.tell(f"the list of zones shows {', '.join(shown)}")
            if self.plan.dies_by_zone_lists:
                with self._lock:
                    for driver in self._drivers.values():
                        driver.end()

    def _add_stranger(self, name: str) -> dict[str, Any]:
        """Make a volume of another cluster that has our volume's name."""
        zone = self.plan.zones[0]
        self.cloud.add_volumes(zone, 1, prefix=name)
        volume = next(each for each in self.cloud.volumes() if each["name"].startswith(name))
        labels = {
            "exoblock/name": name,
            "exoblock/cluster-id": "another",
            "exoblock/driver": "exoblock.csi.exoscale.com",
        }
        Administrator(self.cloud).label_volume(f"{zone}/{volume['id']}", labels)
        return next(each for each in self.cloud.volumes() if each["id"] == volume["id"])

    def _send(self, sidecar: str, replica: int, method: str, request: Any, *, cancel: int) -> Any:
        driver = self._driver(replica)
        called = self._last_call() if cancel in self.plan.cancels else 0
        try:
            future = getattr(driver.controller, method).future(request, timeout=CALL_SECONDS)
        except ValueError as error:  # it died meanwhile, and another sidecar has closed the channel
            raise Refused(grpc.StatusCode.UNAVAILABLE, "no connection") from error
        with self._lock:
            self._in_flight[sidecar].add(future)
        if cancel in self.plan.cancels:
            self._cancel(future, method, called, 1 + cancel % _MOST_CALLS_BEFORE_CANCEL)
        try:
            return future.result()
        except grpc.FutureCancelledError as error:
            raise Refused(grpc.StatusCode.CANCELLED, "the sidecar gave up") from error
        except grpc.RpcError as error:
            if not driver.is_alive():
                self.killed.append(method)
            raise Refused(error.code(), error.details() or "") from error
        finally:
            with self._lock:
                self._in_flight[sidecar].discard(future)

    def _last_call(self) -> int:
        return max((call.number for call in self.cloud.calls()), default=0)

    def _cancel(self, future: Any, method: str, called: int, calls: int) -> None:
        """Give up the work that still runs after a number of further calls to the cloud."""
        while not future.done():
            if len(self.cloud.calls(after=called)) >= calls:
                self.cancels.append(method)
                future.cancel()

    def _driver(self, replica: int) -> Driver:
        """Return a replica; start it if there is none, as kubelet does with one that died."""
        with self._lock:
            driver = self._drivers.get(replica)
            if driver is None or not driver.is_alive():
                if driver is not None:
                    driver.kill()
                    self.cloud.take_in_what_was_sent()
                    self.restarts += 1
                    self.story.tell(f"driver {replica} died and is started again")
                driver = self._fleet.start(
                    mutant=self._mutant,
                    kill=Kill(at="step", ordinal=self._kills.pop(0)) if self._kills else NEVER,
                    flags=() if self.plan.zone_lists else ("--zones", ",".join(self.plan.zones)),
                )
                self._drivers[replica] = driver
            return driver

    def _leader_of(self, sidecar: str) -> int:
        """Return the replica that leads, once there is one: it can change again meanwhile."""
        while True:
            with self._lock:
                vacant = self._vacant_until[sidecar] - time.monotonic()
                if vacant <= 0:
                    return self._leaders[sidecar]
            time.sleep(vacant)
            self.cloud.take_in_what_was_sent()

    def change_leader(self, sidecar: str) -> None:
        """Have the other replica lead: what the old leader had asked is cancelled with it."""
        with self._lock:
            self._leaders[sidecar] = 1 - self._leaders[sidecar]
            self._vacant_until[sidecar] = time.monotonic() + LEASE_GAP_SECONDS
            orphaned = tuple(self._in_flight[sidecar])
            self.leader_changes += 1
        self.story.tell(f"{sidecar} turns to replica {self._leaders[sidecar]}")
        for future in orphaned:
            future.cancel()


def _about(message: Any) -> str:
    """Return what tells a request or an answer from others, in one line."""
    text = " ".join(_CAPABILITIES.sub("", str(message)).split())
    return text[:300]
