"""PersistentVolume and claim of a volume that exists, as JSON for `kubectl apply`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_exoblock.model import topology_key

Object = Mapping[str, object]

BLOCK, FILESYSTEM = "Block", "Filesystem"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticVolume:
    """A volume that exists, and how pods are to use it.

    Attributes:
        name: The PersistentVolume's.
        handle: The volume's id, `<zone>/<UUID>`.
        capacity: Its size as Kubernetes writes it, such as `10Gi`.
        filesystem: The file system on it; empty for the driver's default, or for `BLOCK`.
        volume_mode: `BLOCK` or `FILESYSTEM`.
        attributes: Its `volumeAttributes`.
        claim: Namespace and name of its claim, `None` for no claim.
    """

    name: str
    driver_name: str
    handle: str
    capacity: str
    filesystem: str = ""
    volume_mode: str = FILESYSTEM
    class_name: str = ""
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)
    mount_options: tuple[str, ...] = ()
    is_read_only: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    claim: tuple[str, str] | None = None

    def objects(self) -> list[Object]:
        """Return the PersistentVolume, and its claim if it has one."""
        volume = self._persistent_volume()
        return [volume, self._claim(*self.claim)] if self.claim else [volume]

    def _persistent_volume(self) -> Object:
        spec: dict[str, object] = {
            "capacity": {"storage": self.capacity},
            **self._common(),
            "persistentVolumeReclaimPolicy": "Retain",
            "csi": self._csi(),
            "nodeAffinity": {"required": {"nodeSelectorTerms": [self._term()]}},
        }
        if self.mount_options:
            spec["mountOptions"] = list(self.mount_options)
        if self.claim:
            spec["claimRef"] = {"namespace": self.claim[0], "name": self.claim[1]}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": self.name},
            "spec": spec,
        }

    def _claim(self, namespace: str, name: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                **self._common(),
                "volumeName": self.name,
                "resources": {"requests": {"storage": self.capacity}},
            },
        }

    def _common(self) -> dict[str, object]:
        """Return the fields in which claim and PersistentVolume must agree to be bound."""
        return {
            "storageClassName": self.class_name,
            "volumeMode": self.volume_mode,
            "accessModes": list(self.access_modes),
        }

    def _csi(self) -> Object:
        csi: dict[str, object] = {"driver": self.driver_name, "volumeHandle": self.handle}
        if self.filesystem and self.volume_mode != BLOCK:
            csi["fsType"] = self.filesystem
        if self.is_read_only:
            csi["readOnly"] = True
        if self.attributes:
            csi["volumeAttributes"] = dict(self.attributes)
        return csi

    def _term(self) -> Object:
        zone = self.handle.partition("/")[0]
        key = topology_key(self.driver_name)
        return {"matchExpressions": [{"key": key, "operator": "In", "values": [zone]}]}
