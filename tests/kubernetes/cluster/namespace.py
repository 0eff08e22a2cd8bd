"""A namespace: what one test owns in the cluster, how it waits, and what it says on failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from tests.kubernetes.cluster.api import (
    CLAIM,
    EVENT,
    NAMESPACE,
    POD,
    SERVICE_ACCOUNT,
    SNAPSHOT,
    STATEFUL_SET,
    Kind,
)
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.documents import Document, Json
from tests.kubernetes.cluster.places import LOGS, POD_LOGS
from tests.support.waiting import POLL_SECONDS, wait_until

T = TypeVar("T")

PATIENCE_SECONDS: Final = 300.0
"""How long a flow waits for anything, far above what it takes on a busy machine."""

_LOG_LINES = 25
_CONTENT = (STATEFUL_SET, POD, SNAPSHOT, CLAIM)  # the owner first: it would make its pods again


class Namespace:
    """A namespace of the cluster.

    Args:
        pause_seconds: Between two questions of a wait.
    """

    def __init__(self, cluster: Cluster, name: str, pause_seconds: float = POLL_SECONDS) -> None:
        self.cluster = cluster
        self.name = name
        self._pause_seconds = pause_seconds

    def create(self) -> None:
        """Create it and return when pods may start in it."""
        self.cluster.api.create(NAMESPACE, {"metadata": {"name": self.name}})
        self.wait(lambda: self.find(SERVICE_ACCOUNT, "default"), "a default service account")

    def clear(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Delete all that flows make in it, at once, and return when the last of it is gone."""
        self.wait(lambda: not self._sweep(), "the namespace is empty", seconds=seconds)

    def remove_itself(self) -> None:
        """Ask for its deletion; the cluster begins with that after 5 seconds."""
        self.cluster.api.delete(NAMESPACE, self.name)

    def wait_gone(self) -> None:
        """Return when it is gone, after the last object in it."""
        find = self.cluster.api.find
        self.wait(lambda: find(NAMESPACE, self.name) is None, "the namespace is gone")

    def add(
        self, kind: Kind, name: str, manifest: Json, labels: Mapping[str, str] | None = None
    ) -> None:
        """Create an object in it."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.cluster.api.create(kind, {"metadata": metadata, **manifest}, self.name)

    def find(self, kind: Kind, name: str) -> Document | None:
        """Return an object, or None when there is none of that name."""
        return self.cluster.api.find(kind, name, self.name)

    def get(self, kind: Kind, name: str) -> Document:
        """Return an object that must be there."""
        return self.cluster.api.get(kind, name, self.name)

    def remove(self, kind: Kind, name: str) -> None:
        """Ask for an object's deletion."""
        self.cluster.api.delete(kind, name, self.name)

    def delete(self, kind: Kind, name: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Delete an object and return when it is gone."""
        self.remove(kind, name)
        gone = f"{kind.name} {name} is gone"
        self.wait(lambda: self.find(kind, name) is None, gone, seconds=seconds)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in this namespace and return what it printed."""
        return self.cluster.kubectl("--namespace", self.name, *arguments)

    def events(self, about: str) -> list[str]:
        """Return `reason: message` of every event about an object, in no order."""
        return [
            f"{event.text('reason')}: {event.text('message')}"
            for event in self.cluster.api.list(EVENT, self.name)
            if event.text("involvedObject", "name") == about
        ]

    def wait_event(self, about: str, *words: str) -> str:
        """Return the first event about an object that has all these words."""

        def matching() -> str | None:
            events = self.events(about)
            return next((event for event in events if all(word in event for word in words)), None)

        return self.wait(matching, f"an event about {about} with {words}")

    def wait(
        self,
        question: Callable[[], T | None],
        promise: str,
        *,
        seconds: float = PATIENCE_SECONDS,
        explain: Callable[[], str] = str,
    ) -> T:
        """Return the first answer that is true; a failure also shows the namespace and the logs."""

        def explain_all() -> str:
            return f"{explain()}\n{self._describe()}"

        return wait_until(
            question,
            promise,
            seconds=seconds,
            pause_seconds=self._pause_seconds,
            explain=explain_all,
        )

    def _sweep(self) -> list[Document]:
        """Ask for the deletion of all that flows make, and return what is there still."""
        left = []
        for kind in _CONTENT:
            for found in self.cluster.api.list(kind, self.name):
                if not found.text("metadata", "deletionTimestamp"):
                    self.remove(kind, found.text("metadata", "name"))
                left.append(found)
        return left

    def _describe(self) -> str:
        """Show what a person would look at: objects, events, the end of the driver's logs."""
        api = self.cluster.api
        objects = [
            f"{kind.plural} {item.text('metadata', 'name')}: {item.text('status', 'phase')}"
            for kind in (CLAIM, POD)
            for item in api.list(kind, self.name)
        ]
        events = [
            f"{event.text('lastTimestamp')} {event.text('involvedObject', 'name')}"
            f" {event.text('reason')}: {event.text('message')}"
            for event in api.list(EVENT, self.name)
        ]
        logs = [
            f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-_LOG_LINES:])
            for log in sorted([*LOGS.glob("driver-*.log"), *POD_LOGS.glob("*/csi-exoblock/*.log")])
        ]
        return "\n".join([*objects, *sorted(events), *logs])
