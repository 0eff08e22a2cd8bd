"""Snapshots of claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from tests.kubernetes.cluster.api import SNAPSHOT, SNAPSHOT_CONTENT
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.documents import Json
from tests.kubernetes.cluster.namespace import PATIENCE_SECONDS, Namespace
from tests.kubernetes.cluster.places import DRIVER_NAME

DEFAULT_CLASS = "exoblock"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A VolumeSnapshot."""

    namespace: Namespace
    name: str

    @classmethod
    def create(
        cls,
        namespace: Namespace,
        name: str = "snapshot",
        *,
        of: Claim,
        snapshot_class: str = DEFAULT_CLASS,
    ) -> Self:
        """Take a snapshot of a claim."""
        source = {"persistentVolumeClaimName": of.name}
        spec = {"volumeSnapshotClassName": snapshot_class, "source": source}
        return cls._add(namespace, name, spec)

    @classmethod
    def adopt(cls, namespace: Namespace, name: str, *, handle: str) -> Self:
        """Make a snapshot that exists in the cloud known to the cluster."""
        content = f"{namespace.name}-{name}"
        spec = {
            "driver": DRIVER_NAME,
            "deletionPolicy": "Delete",
            "source": {"snapshotHandle": handle},
            "volumeSnapshotRef": {"name": name, "namespace": namespace.name},
        }
        manifest = {"metadata": {"name": content}, "spec": spec}
        namespace.cluster.api.create(SNAPSHOT_CONTENT, manifest)
        return cls._add(namespace, name, {"source": {"volumeSnapshotContentName": content}})

    def wait_ready(self, seconds: float = PATIENCE_SECONDS) -> Self:
        """Return it as soon as it can be restored."""
        promise = f"snapshot {self.name} is ready"
        self.namespace.wait(lambda: self.is_ready, promise, seconds=seconds)
        return self

    @property
    def is_ready(self) -> bool:
        """Whether it can be restored."""
        return self.namespace.get(SNAPSHOT, self.name).flag("status", "readyToUse")

    @property
    def restore_size(self) -> str:
        """The least size of a claim made from it, such as `1Gi`."""
        return self.namespace.get(SNAPSHOT, self.name).text("status", "restoreSize")

    @property
    def handle(self) -> str:
        """The id of the cloud's snapshot: `<zone>/<uuid>`."""
        snapshot = self.namespace.get(SNAPSHOT, self.name)
        content = snapshot.text("status", "boundVolumeSnapshotContentName")
        found = self.namespace.cluster.api.get(SNAPSHOT_CONTENT, content)
        return found.text("status", "snapshotHandle")

    def delete(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Delete it and return when it is gone, in the cloud too."""
        self.namespace.delete(SNAPSHOT, self.name, seconds)

    def wait_event(self, *words: str) -> str:
        """Return the first event about it that has all these words."""
        return self.namespace.wait_event(self.name, *words)

    @classmethod
    def _add(cls, namespace: Namespace, name: str, spec: Json) -> Self:
        namespace.add(SNAPSHOT, name, {"spec": spec})
        return cls(namespace, name)
