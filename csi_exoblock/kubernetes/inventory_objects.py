"""What an operator's commands read of Kubernetes' objects, as values.

As in `objects`, what is absent, or there with another type than Kubernetes' own, counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from csi_exoblock.kubernetes.objects import Json

_SCALES = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(|[kMGTP]|[KMGTP]i)", re.ASCII)
_SELECTED = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim.

    Attributes:
        asked_bytes: 0 where it doesn't say.
        has_bytes: What Kubernetes last learnt that it has; 0 before it is bound.
        has_node: Whether a pod's node was chosen for it.
    """

    namespace: str
    name: str
    class_name: str
    volume_name: str
    asked_bytes: int
    has_bytes: int
    created_at: datetime | None
    has_node: bool

    @classmethod
    def parse(cls, found: Json) -> Claim:
        """Read a PersistentVolumeClaim."""
        return cls(
            namespace=_text(found, "metadata", "namespace"),
            name=_text(found, "metadata", "name"),
            class_name=_text(found, "spec", "storageClassName"),
            volume_name=_text(found, "spec", "volumeName"),
            asked_bytes=quantity(_text(found, "spec", "resources", "requests", "storage")),
            has_bytes=quantity(_text(found, "status", "capacity", "storage")),
            created_at=_time(found, "metadata", "creationTimestamp"),
            has_node=bool(_text(found, "metadata", "annotations", _SELECTED)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeStatus:
    """A PersistentVolume.

    Attributes:
        claim: Namespace and name of its claim, `None` while it has none.
        deleted_at: Since when it is being deleted, `None` if it is not.
        is_deleted_with_claim: Whether its volume goes when its claim goes.
        attributes: Of the volume, as `volumeAttributes` has them.
    """

    name: str
    driver_name: str
    handle: str
    phase: str
    claim: tuple[str, str] | None
    capacity_bytes: int
    class_name: str
    filesystem: str
    is_deleted_with_claim: bool
    deleted_at: datetime | None
    attributes: Mapping[str, str]
    access_modes: tuple[str, ...]
    volume_mode: str

    @classmethod
    def parse(cls, found: Json) -> VolumeStatus:
        """Read a PersistentVolume."""
        claim = (
            _text(found, "spec", "claimRef", "namespace"),
            _text(found, "spec", "claimRef", "name"),
        )
        modes = _at(found, "spec", "accessModes")
        attributes = _at(found, "spec", "csi", "volumeAttributes")
        return cls(
            name=_text(found, "metadata", "name"),
            driver_name=_text(found, "spec", "csi", "driver"),
            handle=_text(found, "spec", "csi", "volumeHandle"),
            phase=_text(found, "status", "phase"),
            claim=claim if all(claim) else None,
            capacity_bytes=quantity(_text(found, "spec", "capacity", "storage")),
            class_name=_text(found, "spec", "storageClassName"),
            filesystem=_text(found, "spec", "csi", "fsType"),
            is_deleted_with_claim=_text(found, "spec", "persistentVolumeReclaimPolicy") != "Retain",
            deleted_at=_time(found, "metadata", "deletionTimestamp"),
            attributes={
                key: value
                for key, value in (attributes if isinstance(attributes, dict) else {}).items()
                if isinstance(value, str)
            },
            access_modes=tuple(
                each for each in (modes if isinstance(modes, list) else ()) if isinstance(each, str)
            ),
            volume_mode=_text(found, "spec", "volumeMode") or "Filesystem",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentStatus:
    """A VolumeAttachment.

    Attributes:
        error: What the last attach or detach said, empty after a success.
        deleted_at: Since when it is to be detached, `None` if it is not.
    """

    name: str
    driver_name: str
    node_name: str
    volume_name: str
    is_attached: bool
    error: str
    created_at: datetime | None
    deleted_at: datetime | None

    @classmethod
    def parse(cls, found: Json) -> AttachmentStatus:
        """Read a VolumeAttachment."""
        return cls(
            name=_text(found, "metadata", "name"),
            driver_name=_text(found, "spec", "attacher"),
            node_name=_text(found, "spec", "nodeName"),
            volume_name=_text(found, "spec", "source", "persistentVolumeName"),
            is_attached=_at(found, "status", "attached") is True,
            error=_text(found, "status", "detachError", "message")
            or _text(found, "status", "attachError", "message"),
            created_at=_time(found, "metadata", "creationTimestamp"),
            deleted_at=_time(found, "metadata", "deletionTimestamp"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStatus:
    """A VolumeSnapshotContent.

    Attributes:
        source: Handle of the volume that it is taken of; empty where it was not taken here.
        snapshot: Namespace and name of its VolumeSnapshot.
        error: What the last try said, empty after a success.
    """

    name: str
    driver_name: str
    source: str
    snapshot: tuple[str, str]
    is_ready: bool
    error: str
    created_at: datetime | None

    @classmethod
    def parse(cls, found: Json) -> SnapshotStatus:
        """Read a VolumeSnapshotContent."""
        reference = ("spec", "volumeSnapshotRef")
        return cls(
            name=_text(found, "metadata", "name"),
            driver_name=_text(found, "spec", "driver"),
            source=_text(found, "spec", "source", "volumeHandle"),
            snapshot=(_text(found, *reference, "namespace"), _text(found, *reference, "name")),
            is_ready=_at(found, "status", "readyToUse") is True,
            error=_text(found, "status", "error", "message"),
            created_at=_time(found, "metadata", "creationTimestamp"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNode:
    """A Node.

    Attributes:
        instance: The instance's UUID by its provider id; empty where that isn't this cloud's.
        zone: As its labels say, with the older label of the cloud controller too; maybe empty.
    """

    name: str
    instance: str
    zone: str
    is_ready: bool

    @classmethod
    def parse(cls, found: Json) -> KnownNode:
        """Read a Node."""
        provider, _, instance = _text(found, "spec", "providerID").partition("://")
        conditions = _at(found, "status", "conditions")
        labels = ("metadata", "labels")
        return cls(
            name=_text(found, "metadata", "name"),
            instance=instance if provider == "exoscale" else "",
            zone=_text(found, *labels, "topology.kubernetes.io/zone")
            or _text(found, *labels, "topology.kubernetes.io/region"),
            is_ready=any(
                _text(each, "type") == "Ready" and _text(each, "status") == "True"
                for each in (conditions if isinstance(conditions, list) else ())
                if isinstance(each, dict)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """A StorageClass."""

    name: str
    driver_name: str
    waits_for_pod: bool
    may_expand: bool

    @classmethod
    def parse(cls, found: Json) -> StorageClass:
        """Read a StorageClass."""
        return cls(
            name=_text(found, "metadata", "name"),
            driver_name=_text(found, "provisioner"),
            waits_for_pod=_text(found, "volumeBindingMode") == "WaitForFirstConsumer",
            may_expand=found.get("allowVolumeExpansion") is True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CsiDriver:
    """A CSIDriver."""

    attach_required: bool
    group_policy: str

    @classmethod
    def parse(cls, found: Json) -> CsiDriver:
        """Read a CSIDriver."""
        return cls(
            attach_required=_at(found, "spec", "attachRequired") is not False,
            group_policy=_text(found, "spec", "fsGroupPolicy"),
        )


def quantity(text: str) -> int:
    """Return a quantity such as `10Gi` in bytes, 0 for what is none."""
    found = _QUANTITY.fullmatch(text)
    return int(float(found[1]) * _SCALES[found[2]]) if found else 0


def _at(found: object, *path: str) -> object:
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def _text(found: object, *path: str) -> str:
    value = _at(found, *path)
    return value if isinstance(value, str) else ""


def _time(found: object, *path: str) -> datetime | None:
    try:
        return datetime.fromisoformat(_text(found, *path))
    except ValueError:
        return None
