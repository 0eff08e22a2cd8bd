"""Kubernetes' objects about storage, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from csi_exoblock.kubernetes.fields import (
    Json,
    at,
    moment,
    objects,
    size_bytes,
    text,
    text_map,
    texts,
)

_DEFAULT_SNAPSHOT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_TERMS = ("spec", "nodeAffinity", "required", "nodeSelectorTerms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim.

    Attributes:
        asked_bytes: The size requested; 0 if the claim names none.
        has_bytes: The capacity that Kubernetes last recorded; 0 before the claim is bound.
        has_node: Whether the scheduler has chosen the node of its pod.
    """

    namespace: str
    name: str
    phase: str
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
            namespace=text(found, "metadata", "namespace"),
            name=text(found, "metadata", "name"),
            phase=text(found, "status", "phase"),
            class_name=text(found, "spec", "storageClassName"),
            volume_name=text(found, "spec", "volumeName"),
            asked_bytes=size_bytes(found, "spec", "resources", "requests", "storage"),
            has_bytes=size_bytes(found, "status", "capacity", "storage"),
            created_at=moment(found, "metadata", "creationTimestamp"),
            has_node=bool(text(found, "metadata", "annotations", _SELECTED_NODE)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistentVolume:
    """A PersistentVolume.

    Attributes:
        driver_name: Empty if it is not a CSI volume.
        handle: The driver's id for the volume.
        claim: Namespace and name of its claim, `None` while it has none; of one that is not bound
            (`phase`) they can name another volume's claim.
        claim_uid: The UID of the claim to which it is, or was, bound.
        capacity: As Kubernetes writes it, such as `10Gi`.
        is_deleted_with_claim: Whether its volume is deleted when its claim is.
        is_placed: Whether it tells the scheduler which nodes can have its volume.
        deleted_at: When its deletion was requested, `None` if it was not.
    """

    uid: str
    name: str
    driver_name: str
    handle: str
    phase: str
    claim: tuple[str, str] | None
    claim_uid: str
    capacity: str
    capacity_bytes: int
    class_name: str
    filesystem: str
    mount_options: tuple[str, ...]
    attributes: Mapping[str, str]
    is_read_only: bool
    access_modes: tuple[str, ...]
    volume_mode: str
    is_deleted_with_claim: bool
    is_placed: bool
    deleted_at: datetime | None

    @classmethod
    def parse(cls, found: Json) -> PersistentVolume:
        """Read a PersistentVolume."""
        claim = _reference(found, "spec", "claimRef")
        return cls(
            uid=text(found, "metadata", "uid"),
            name=text(found, "metadata", "name"),
            driver_name=text(found, "spec", "csi", "driver"),
            handle=text(found, "spec", "csi", "volumeHandle"),
            phase=text(found, "status", "phase"),
            claim=claim if all(claim) else None,
            claim_uid=text(found, "spec", "claimRef", "uid"),
            capacity=text(found, "spec", "capacity", "storage"),
            capacity_bytes=size_bytes(found, "spec", "capacity", "storage"),
            class_name=text(found, "spec", "storageClassName"),
            filesystem=text(found, "spec", "csi", "fsType"),
            mount_options=texts(found, "spec", "mountOptions"),
            attributes=text_map(found, "spec", "csi", "volumeAttributes"),
            is_read_only=at(found, "spec", "csi", "readOnly") is True,
            access_modes=texts(found, "spec", "accessModes"),
            volume_mode=text(found, "spec", "volumeMode") or "Filesystem",
            is_deleted_with_claim=text(found, "spec", "persistentVolumeReclaimPolicy") != "Retain",
            is_placed=bool(objects(found, *_TERMS)),
            deleted_at=moment(found, "metadata", "deletionTimestamp"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeAttachment:
    """A VolumeAttachment: a volume that is to be attached to a node, is, or is to be detached.

    Attributes:
        driver_name: The driver that attaches it.
        volume_name: The name of its PersistentVolume; empty for an inline volume.
        error: The error of the last attach or detach, empty after a success.
        deleted_at: When its detach was requested, `None` if it was not.
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
    def parse(cls, found: Json) -> VolumeAttachment:
        """Read a VolumeAttachment."""
        return cls(
            name=text(found, "metadata", "name"),
            driver_name=text(found, "spec", "attacher"),
            node_name=text(found, "spec", "nodeName"),
            volume_name=text(found, "spec", "source", "persistentVolumeName"),
            is_attached=at(found, "status", "attached") is True,
            error=text(found, "status", "detachError", "message")
            or text(found, "status", "attachError", "message"),
            created_at=moment(found, "metadata", "creationTimestamp"),
            deleted_at=moment(found, "metadata", "deletionTimestamp"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotContent:
    """A VolumeSnapshotContent.

    Attributes:
        handle: The driver's id for the snapshot; empty until it is taken.
        source: Handle of the volume that it is taken of; empty if the snapshot was imported.
        snapshot: Namespace and name of its VolumeSnapshot.
        asked_as: The name under which csi-snapshotter asks a driver for it, as long as its flags
            are the default ones (external-snapshotter 8, `--snapshot-name-prefix`).
        error: The error of the last attempt, empty after a success.
    """

    name: str
    driver_name: str
    handle: str
    source: str
    snapshot: tuple[str, str]
    asked_as: str
    is_ready: bool
    error: str
    created_at: datetime | None

    @classmethod
    def parse(cls, found: Json) -> SnapshotContent:
        """Read a VolumeSnapshotContent."""
        return cls(
            name=text(found, "metadata", "name"),
            driver_name=text(found, "spec", "driver"),
            handle=text(found, "status", "snapshotHandle")
            or text(found, "spec", "source", "snapshotHandle"),
            source=text(found, "spec", "source", "volumeHandle"),
            snapshot=_reference(found, "spec", "volumeSnapshotRef"),
            asked_as=f"snapshot-{text(found, 'spec', 'volumeSnapshotRef', 'uid')}",
            is_ready=at(found, "status", "readyToUse") is True,
            error=text(found, "status", "error", "message"),
            created_at=moment(found, "metadata", "creationTimestamp"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """A StorageClass.

    Attributes:
        waits_for_pod: Whether a volume is created only once a pod needs it.
        may_expand: Whether its claims can ask for more.
    """

    name: str
    driver_name: str
    waits_for_pod: bool
    may_expand: bool

    @classmethod
    def parse(cls, found: Json) -> StorageClass:
        """Read a StorageClass."""
        return cls(
            name=text(found, "metadata", "name"),
            driver_name=text(found, "provisioner"),
            waits_for_pod=text(found, "volumeBindingMode") == "WaitForFirstConsumer",
            may_expand=at(found, "allowVolumeExpansion") is True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotClass:
    """A VolumeSnapshotClass.

    Attributes:
        is_default: Whether it is that of snapshots which name none.
    """

    name: str
    driver_name: str
    is_default: bool

    @classmethod
    def parse(cls, found: Json) -> SnapshotClass:
        """Read a VolumeSnapshotClass."""
        return cls(
            name=text(found, "metadata", "name"),
            driver_name=text(found, "driver"),
            is_default=text(found, "metadata", "annotations", _DEFAULT_SNAPSHOT_CLASS) == "true",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSnapshot:
    """A VolumeSnapshot.

    Attributes:
        class_name: Empty if it names none.
        content: The name of its VolumeSnapshotContent, empty until the snapshot controller made it.
        error: The error of the last attempt, empty after a success.
    """

    namespace: str
    name: str
    class_name: str
    content: str
    error: str
    created_at: datetime | None

    @classmethod
    def parse(cls, found: Json) -> VolumeSnapshot:
        """Read a VolumeSnapshot."""
        return cls(
            namespace=text(found, "metadata", "namespace"),
            name=text(found, "metadata", "name"),
            class_name=text(found, "spec", "volumeSnapshotClassName"),
            content=text(found, "status", "boundVolumeSnapshotContentName"),
            error=text(found, "status", "error", "message"),
            created_at=moment(found, "metadata", "creationTimestamp"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CsiDriver:
    """A CSIDriver.

    Attributes:
        group_policy: Its `fsGroupPolicy`.
    """

    attach_required: bool
    group_policy: str

    @classmethod
    def parse(cls, found: Json) -> CsiDriver:
        """Read a CSIDriver."""
        return cls(
            attach_required=at(found, "spec", "attachRequired") is not False,
            group_policy=text(found, "spec", "fsGroupPolicy"),
        )


def _reference(found: Json, *path: str) -> tuple[str, str]:
    """Return namespace and name of a reference, each empty if it is absent."""
    return text(found, *path, "namespace"), text(found, *path, "name")
