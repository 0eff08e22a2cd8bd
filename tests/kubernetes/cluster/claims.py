"""Claims for storage, and the volumes they are bound to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from tests.kubernetes.cluster.api import CLAIM, VOLUME
from tests.kubernetes.cluster.namespace import PATIENCE_SECONDS, Namespace
from tests.kubernetes.cluster.places import STAGING

DEFAULT_CLASS = "exoblock"


@dataclass(frozen=True, slots=True)
class BoundVolume:
    """A persistent volume, and the cloud's volume that it stands for."""

    name: str
    handle: str

    @property
    def zone(self) -> str:
        """The zone that the cloud's volume is in."""
        return self.handle.partition("/")[0]

    @property
    def staging_folder(self) -> Path:
        """Where the kubelet stages it on the node: in a folder with the hash of its id."""
        return STAGING / hashlib.sha256(self.handle.encode()).hexdigest()

    @property
    def uuid(self) -> UUID:
        """The id of the cloud's volume."""
        return UUID(self.handle.partition("/")[2])


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim."""

    namespace: Namespace
    name: str

    @classmethod
    def create(
        cls,
        namespace: Namespace,
        name: str = "data",
        *,
        size: str = "1Gi",
        storage_class: str = DEFAULT_CLASS,
        access_mode: str = "ReadWriteOnce",
        volume_mode: str = "Filesystem",
        snapshot: str = "",
        clone_of: str = "",
        volume_name: str = "",
        attributes_class: str = "",
    ) -> Self:
        """Claim storage.

        Args:
            snapshot: Name of the VolumeSnapshot whose content it starts with.
            clone_of: Name of the claim whose content it starts with.
            volume_name: The one persistent volume that it may have; `storage_class` is then empty.
        """
        spec: dict[str, object] = {
            "accessModes": [access_mode],
            "volumeMode": volume_mode,
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        }
        if snapshot:
            group = "snapshot.storage.k8s.io"
            spec["dataSource"] = {"apiGroup": group, "kind": "VolumeSnapshot", "name": snapshot}
        if clone_of:
            spec["dataSource"] = {"kind": "PersistentVolumeClaim", "name": clone_of}
        if attributes_class:
            spec["volumeAttributesClassName"] = attributes_class
        if volume_name:
            spec["volumeName"] = volume_name
        namespace.add(CLAIM, name, {"spec": spec})
        return cls(namespace, name)

    def wait_bound(self, seconds: float = PATIENCE_SECONDS) -> BoundVolume:
        """Return its volume as soon as it has one."""
        promise = f"claim {self.name} is bound"
        return self.namespace.wait(self._bound_volume, promise, seconds=seconds)

    @property
    def phase(self) -> str:
        """`Pending`, `Bound` or `Lost`."""
        return self.namespace.get(CLAIM, self.name).text("status", "phase")

    @property
    def capacity(self) -> str:
        """The size it has, such as `2Gi`."""
        return self.namespace.get(CLAIM, self.name).text("status", "capacity", "storage")

    @property
    def conditions(self) -> dict[str, str]:
        """The messages of its conditions that are true, by their types."""
        return {
            condition.text("type"): condition.text("message")
            for condition in self.namespace.get(CLAIM, self.name).documents("status", "conditions")
            if condition.text("status") == "True"
        }

    def request(self, size: str) -> None:
        """Ask for another size, as a user would."""
        change = {"spec": {"resources": {"requests": {"storage": size}}}}
        self.namespace.kubectl("patch", "pvc", self.name, "--patch", json.dumps(change))

    def wait_capacity(self, size: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when it has a size."""
        promise = f"claim {self.name} has {size}"
        self.namespace.wait(lambda: self.capacity == size, promise, seconds=seconds)

    def delete(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Delete it and return when it is gone; its volume may take longer."""
        self.namespace.delete(CLAIM, self.name, seconds)

    def wait_event(self, *words: str) -> str:
        """Return the first event about it that has all these words."""
        return self.namespace.wait_event(self.name, *words)

    def _bound_volume(self) -> BoundVolume | None:
        claim = self.namespace.get(CLAIM, self.name)
        if claim.text("status", "phase") != "Bound":
            return None
        name = claim.text("spec", "volumeName")
        volume = self.namespace.cluster.api.get(VOLUME, name)
        return BoundVolume(name, volume.text("spec", "csi", "volumeHandle"))
