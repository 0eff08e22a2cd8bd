"""What goes wrong while users work: kills, a cloud that is away or slow, keys that change."""

from __future__ import annotations

import base64
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chart.helm import NAMESPACE
from tests.install.containers import Container
from tests.kubernetes.cluster.api import POD, SECRET, Api
from tests.kubernetes.cluster.cloud import CREDENTIALS, Cloud
from tests.kubernetes.cluster.documents import Document
from tests.soak.journal import Journal
from tests.soak.tenant import FAILURES
from tests.soak.watch import DRIVER, all_ready, driver_containers, driver_pods
from tests.soak.workload import PATIENCE_SECONDS
from tests.support.simulator_process import permitted_operations
from tests.support.waiting import wait_until

_SECRET: Final = "csi-exoblock-credentials"
_KEY_FILE = "etc/csi-exoblock/credentials/EXOSCALE_API_KEY"
_PAUSE_SECONDS = (10.0, 60.0)
_OUTAGE_SECONDS = (10.0, 60.0)
_SLOW_SECONDS = (2.0, 8.0)
_FEW_CALLS = (1.0, 4.0)
_POLL_SECONDS = 1.0
# Kubelet waits longer after each end of a container, until it has run for 10 minutes.
_REST_SECONDS = 660.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that goes wrong.

    Attributes:
        weight: How often it is chosen, against the others.
        run: Lets it happen, waits until it is over, and returns what it was about; empty if it
            can't happen now.
    """

    name: str
    weight: int
    run: Callable[[], str]


class Troubles:
    """Lets one thing after the other go wrong.

    One controller and one node's plugin are spared until half of the run is over, and the others
    from then on: only a process that lives for long shows whether it grows.

    Attributes:
        kills: How often the driver was killed, by the name of its pod.
    """

    def __init__(self, *, seed: int, hours: float, journal: Journal) -> None:
        self.kills: Counter[str] = Counter()
        self._chance = random.Random(f"{seed} troubles")
        self._hours = hours
        self._journal = journal
        self._api = Api()
        self._cloud = Cloud()
        self._ending = threading.Event()
        self._key = CREDENTIALS["EXOSCALE_API_KEY"]
        self._keys = 0
        self._killed: dict[tuple[str, str], float] = {}
        self._spared: list[list[str]] = []  # for each half
        self._troubles = (
            Trouble("controller killed", 3, lambda: self._kill("-controller-", driver=True)),
            Trouble("plugin killed", 3, lambda: self._kill("-node-", driver=True)),
            Trouble("sidecar killed", 3, lambda: self._kill("-controller-", driver=False)),
            Trouble("pod replaced", 2, self._replace_pod),
            Trouble("key rotated", 1, self._rotate_key),
            Trouble("API away", 2, lambda: self._fault(fault="drop")),
            Trouble("answers lost", 1, lambda: self._fault(
                fault="drop", when="after", probability=0.3)),
            Trouble("refusals", 1, lambda: self._fault(
                fault="refuse", status=429, retry_after=1, probability=0.8)),
            Trouble("API throttled", 1, self._throttle),
            Trouble("cloud slow", 1, self._slow_down),
        )  # fmt: skip

    def go_on(self, ending: threading.Event) -> None:
        """Let things go wrong until the end."""
        self._ending = ending
        weights = [each.weight for each in self._troubles]
        while not ending.wait(self._chance.uniform(*_PAUSE_SECONDS)):
            (trouble,) = self._chance.choices(self._troubles, weights)
            begin = self._journal.hours
            try:
                if about := trouble.run():
                    self._journal.troubled(trouble.name, about, begin)
            except FAILURES as error:
                self._journal.find(f"{trouble.name}: {error}")

    def _kill(self, part: str, *, driver: bool) -> str:
        """Kill a container and return once it runs again and its pod is ready."""
        now = time.monotonic()
        candidates = [
            each for each in driver_containers(self._api)
            if part in each.pod
            and (each.name == DRIVER) == driver
            and now - self._killed.get((each.pod, each.name), -_REST_SECONDS) >= _REST_SECONDS
            and not (driver and each.pod in self._spared_now())
        ]  # fmt: skip
        if not candidates:
            return ""
        victim = self._chance.choice(sorted(candidates, key=lambda each: (each.pod, each.name)))
        try:
            victim.kill()
        except ProcessLookupError:  # a sidecar ends by itself when its driver does
            return ""
        self._killed[victim.pod, victim.name] = now
        if driver:
            self.kills[victim.pod] += 1
        _wait(lambda: self._runs_again(victim), f"{victim.name} of {victim.pod} runs again")
        return f"{victim.name} of {victim.pod}"

    def _replace_pod(self) -> str:
        """Delete a pod as an upgrade does, and return once another one is in its place."""
        names = [pod.text("metadata", "name") for pod in driver_pods(self._api)]
        spared = self._spared_now()
        name = self._chance.choice(sorted(each for each in names if each not in spared))
        self._api.delete(POD, name, NAMESPACE)
        _wait(lambda: all_ready(self._api), f"there is a pod in the place of {name}")
        return name

    def _spared_now(self) -> list[str]:
        """Return the pods of a controller and a plugin, others than in the first half."""
        half = int(self._journal.hours > self._hours / 2)
        while len(self._spared) <= half:
            names = sorted(pod.text("metadata", "name") for pod in driver_pods(self._api))
            known = {name for spared in self._spared for name in spared}
            self._spared.append(
                [
                    next((each for each in names if part in each and each not in known), "")
                    for part in ("-controller-", "-node-")
                ]
            )
        return self._spared[half]

    def _runs_again(self, victim: Container) -> bool:
        runs = any(
            (each.pod, each.name) == (victim.pod, victim.name) and each.pid != victim.pid
            for each in driver_containers(self._api)
        )
        return runs and all_ready(self._api)

    def _rotate_key(self) -> str:
        """Change the Secret, and revoke the old key once every controller has the new one."""
        self._keys += 1
        old, self._key = self._key, f"EXOsoak{self._keys}"
        secret = f"secret number {self._keys}"
        self._cloud.put_key(self._key, secret, permitted_operations())
        entries = {"EXOSCALE_API_KEY": self._key, "EXOSCALE_API_SECRET": secret}
        coded = {name: base64.b64encode(text.encode()).decode() for name, text in entries.items()}
        self._api.patch(SECRET, _SECRET, {"data": coded}, NAMESPACE)
        _wait(self._have_key, "every controller has the new key")
        self._cloud.revoke_key(old)
        return f"to {self._key}"

    def _have_key(self) -> bool:
        controllers = [
            each for each in driver_containers(self._api)
            if each.name == DRIVER and "-controller-" in each.pod
        ]  # fmt: skip
        return bool(controllers) and all(map(self._has_key, controllers))

    def _has_key(self, controller: Container) -> bool:
        try:
            return controller.read_text(_KEY_FILE) == self._key
        except OSError:  # it ends, or begins just now
            return False

    def _fault(self, **rule: str | float) -> str:
        self._cloud.add_fault(**rule)
        try:
            return self._pause(_OUTAGE_SECONDS)
        finally:
            self._cloud.heal()

    def _throttle(self) -> str:
        per_second = self._chance.uniform(*_FEW_CALLS)
        with self._cloud.throttled(per_second):
            return f"{per_second:.1f} calls a second, {self._pause(_OUTAGE_SECONDS)}"

    def _slow_down(self) -> str:
        seconds = self._chance.uniform(*_SLOW_SECONDS)
        with self._cloud.slowed(seconds):
            return f"{seconds:.1f} s an operation, {self._pause(_OUTAGE_SECONDS)}"

    def _pause(self, span: Sequence[float]) -> str:
        """Let some time pass, but for the end of the run, and say how long it was to be."""
        seconds = self._chance.uniform(*span)
        self._ending.wait(seconds)
        return f"for {seconds:.0f} s"


def _wait(question: Callable[[], bool], promise: str) -> None:
    """Return when the answer is true; it takes the processor some time to give it."""
    wait_until(question, promise, seconds=PATIENCE_SECONDS, pause_seconds=_POLL_SECONDS)


def restarts(pods: Sequence[Document]) -> Counter[str]:
    """Return how often the driver was started again in each pod, whatever the reason."""
    return Counter(
        {
            pod.text("metadata", "name"): status.number("restartCount")
            for pod in pods
            for status in pod.documents("status", "containerStatuses")
            if status.text("name") == DRIVER
        }
    )
