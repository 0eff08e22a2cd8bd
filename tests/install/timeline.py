"""When the objects of a namespace got how far, by watches of the API server."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import requests

from tests.kubernetes.cluster.api import POD, VOLUME, VOLUME_ATTACHMENT, Kind, admin_session
from tests.kubernetes.cluster.documents import Document
from tests.kubernetes.cluster.places import API_SERVER

_GONE = "DELETED"
_TIMEOUT_SECONDS = 30


class Timeline:
    """The first time of each moment, by the name that pod and claim have in common.

    The moments of a start are `made` (its PersistentVolume), `scheduled`, `asked` (its
    VolumeAttachment), `attached` and `running`; those of an end `ending` (the pod is being
    deleted), `stopped` (it is gone), `detached` and `deleted` (the PersistentVolume is gone).
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._lock = threading.Lock()
        self._seen: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._names: dict[str, str] = {}  # of claims, by those of their volumes

    @classmethod
    @contextmanager
    def watching(cls, namespace: str) -> Iterator[Timeline]:
        """Watch during the block."""
        timeline = cls(namespace)
        notes = {
            POD: timeline._note_pod,
            VOLUME: timeline._note_volume,
            VOLUME_ATTACHMENT: timeline._note_attachment,
        }
        with ExitStack() as watches:
            for kind, note in notes.items():
                watches.enter_context(_watch(kind, namespace, note))
            yield timeline

    def times(self, moment: str) -> dict[str, float]:
        """Return the time of a moment for each name that has reached it, in monotonic seconds."""
        with self._lock:
            return {name: seen[moment] for name, seen in self._seen.items() if moment in seen}

    def begin_again(self) -> None:
        """Forget all moments so far. Of what is being deleted only its end comes then."""
        with self._lock:
            self._seen.clear()

    def _note(self, name: str, moment: str) -> None:
        with self._lock:
            self._seen[name].setdefault(moment, time.monotonic())

    def _note_pod(self, change: str, pod: Document) -> None:
        name = pod.text("metadata", "name")
        if change == _GONE:
            self._note(name, "stopped")
            return
        if pod.text("metadata", "deletionTimestamp"):
            self._note(name, "ending")
            return
        if pod.text("spec", "nodeName"):
            self._note(name, "scheduled")
        if pod.text("status", "phase") == "Running":
            self._note(name, "running")

    def _note_volume(self, change: str, volume: Document) -> None:
        if volume.text("spec", "claimRef", "namespace") != self._namespace:
            return
        name = volume.text("spec", "claimRef", "name")
        self._names[volume.text("metadata", "name")] = name
        self._note(name, "deleted" if change == _GONE else "made")

    def _note_attachment(self, change: str, attachment: Document) -> None:
        name = self._names.get(attachment.text("spec", "source", "persistentVolumeName"))
        if name is None:  # of another namespace
            return
        if change == _GONE:
            self._note(name, "detached")
            return
        if attachment.text("metadata", "deletionTimestamp"):
            return
        self._note(name, "asked")
        if attachment.flag("status", "attached"):
            self._note(name, "attached")


@contextmanager
def _watch(kind: Kind, namespace: str, note: Callable[[str, Document], None]) -> Iterator[None]:
    """Call a function for each change of the objects of a kind, during the block."""
    with admin_session() as session:
        path = f"{API_SERVER}{kind.path(namespace)}"
        listed = Document(session.get(path, timeout=_TIMEOUT_SECONDS).json())
        ending = threading.Event()

        def read() -> None:
            version = listed.text("metadata", "resourceVersion")
            while not ending.is_set():
                for change in _changes(session, path, version):
                    found = Document(change["object"])
                    version = found.text("metadata", "resourceVersion")
                    note(change["type"], found)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield
        finally:
            ending.set()
            reader.join()


def _changes(session: requests.Session, path: str, version: str) -> Iterator[dict[str, Any]]:
    """Yield the changes since a version, for a second."""
    query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "1"}
    with session.get(path, params=query, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        yield from map(json.loads, filter(None, response.iter_lines(chunk_size=None)))
