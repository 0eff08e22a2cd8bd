"""Look at everything once a minute: the driver's processes, the host, the cloud, Kubernetes."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.processes import footprint
from tests.chart.helm import NAMESPACE
from tests.install.containers import Container, running_containers
from tests.install.installation import is_ready
from tests.kubernetes.cluster.api import EVENT, LEASE, POD, Api
from tests.kubernetes.cluster.cleaning import mounts_below
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.machine import FIRST, SECOND_MACHINE
from tests.kubernetes.cluster.places import CLOUD
from tests.soak.journal import Journal
from tests.soak.samples import Sample, State
from tests.support.loop_devices import loop_devices_below

DRIVER: Final = "csi-exoblock"
"""The container of the driver in each of its pods."""

_PODS = 4  # two controllers, and the plugin of each node
_COMPONENT = "app.kubernetes.io/component"
_SOCKETS = (FIRST.socket, SECOND_MACHINE.socket)
_METRICS_PORT = 8080
_METRICS_SECONDS = 10
_UNEXPECTED = "csi_exoblock_unexpected_errors_total"
_BACKGROUND = "csi_exoblock_background_errors_total"
_THROTTLED = 429
# Of a look at what ends, or has just begun.
_FAILURES = (requests.RequestException, OSError, subprocess.CalledProcessError, AssertionError)
_OF_VOLUMES = re.compile(r"/plugins/kubernetes\.io/csi/|/volumes/kubernetes\.io~csi/")


class Watch:
    """Takes samples of a run.

    Args:
        namespaces: Whose events count.
    """

    def __init__(self, journal: Journal, namespaces: tuple[str, ...]) -> None:
        self.samples: list[Sample] = []
        self._journal = journal
        self._namespaces = namespaces
        self._api = Api()
        self._cloud = Cloud()
        self._last_call = max(
            (each.number("number") for each in self._cloud.calls_after(0)), default=0
        )
        self._events: dict[str, int] = {}
        self._new_events()

    def run(self, seconds: float, ending: threading.Event) -> None:
        """Take a sample every so often until the end."""
        while not ending.wait(seconds):
            self.take()

    def take(self) -> None:
        """Take a sample, or write down why there is none."""
        try:
            self.samples.append(self._sample())
        except _FAILURES as error:
            self._journal.note(f"no sample: {error}")

    def _sample(self) -> Sample:
        calls, disturbed = self._new_calls()
        leases = self._api.list(LEASE, NAMESPACE)
        return Sample(
            hours=self._journal.hours,
            states=dict(self._states()),
            mounts=len(mounts_below(Path("/"))),
            volume_mounts=len(volume_mounts()),
            loop_devices=len(loop_devices_below(CLOUD)),
            attached=sum(bool(each.instance) for each in self._cloud.volumes()),
            leases=len(leases),
            lease_changes=sum(each.number("spec", "leaseTransitions") for each in leases),
            actions=self._journal.actions.total(),
            calls=calls,
            disturbed=disturbed,
            events=self._new_events(),
        )

    def _states(self) -> Iterator[tuple[str, State]]:
        pods = {pod.text("metadata", "name"): pod for pod in driver_pods(self._api)}
        for container in running_containers(pods.values(), _SOCKETS):
            if container.name != DRIVER:
                continue
            try:
                state = _state(container, pods[container.pod].text("status", "podIP"))
            except _FAILURES:
                continue  # it ends or begins just now
            component = _component(pods[container.pod]).partition("-")[0]
            yield f"{component} {container.pod}, process {container.pid}", state

    def _new_calls(self) -> tuple[Counter[str], int]:
        """Return the calls that came to their end, and how many were disturbed."""
        calls = self._cloud.calls_after(self._last_call)
        self._last_call = max((each.number("number") for each in calls), default=self._last_call)
        good = [
            each for each in calls
            if not each.text("fault") and each.number("status") != _THROTTLED
        ]  # fmt: skip
        return Counter(each.text("operation") for each in good), len(calls) - len(good)

    def _new_events(self) -> Counter[str]:
        new: Counter[str] = Counter()
        known, self._events = self._events, {}
        for namespace in self._namespaces:
            for event in self._api.list(EVENT, namespace):
                uid, count = event.text("metadata", "uid"), max(1, event.number("count"))
                self._events[uid] = count
                new[f"{event.text('type')} {event.text('reason')}"] += count - known.get(uid, 0)
        return +new


def driver_pods(api: Api) -> list[Document]:
    """Return the pods of the driver, on both nodes."""
    return [pod for pod in api.list(POD, NAMESPACE) if _component(pod)]


def driver_containers(api: Api) -> list[Container]:
    """Return the containers of the driver's pods that run, on both nodes."""
    return running_containers(driver_pods(api), _SOCKETS)


def all_ready(api: Api) -> bool:
    """Return whether every pod of the driver is there and ready, and none is ending."""
    pods = driver_pods(api)
    return len(pods) == _PODS and all(map(is_ready, pods))


def volume_mounts() -> list[Path]:
    """Return where kubelets and the driver have mounted volumes, on both nodes."""
    return [point for point in mounts_below(FIRST.folder) if _OF_VOLUMES.search(str(point))]


def _component(pod: Document) -> str:
    return pod.texts("metadata", "labels").get(_COMPONENT, "")


def _state(container: Container, address: str) -> State:
    metrics = _scrape(address)
    has = footprint(container.pid)
    return State(
        rss_mib=has.rss_mib,
        threads=has.threads,
        files=has.files,
        processes=container.processes,
        unexpected=metrics[_UNEXPECTED],
        background=metrics[_BACKGROUND],
    )


def _scrape(address: str) -> Mapping[str, float]:
    """Return the sums of a pod's counters over all labels."""
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://{address}:{_METRICS_PORT}/metrics"
        answer = session.get(url, timeout=_METRICS_SECONDS)
        answer.raise_for_status()
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            sums[sample.name] += sample.value
    return sums
