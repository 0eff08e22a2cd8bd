"""What an operator's commands ask of Kubernetes: more, and more of each, than the driver needs."""

from __future__ import annotations

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import NotFound
from csi_exoblock.kubernetes.inventory_objects import (
    AttachmentStatus,
    Claim,
    CsiDriver,
    KnownNode,
    SnapshotStatus,
    StorageClass,
    VolumeStatus,
)
from csi_exoblock.kubernetes.objects import CsiNode, Json
from csi_exoblock.kubernetes.pages import list_all
from csi_exoblock.kubernetes.source import Source

_STORAGE = "/apis/storage.k8s.io/v1"
_SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1"


class Inventory:
    """The cluster's objects, read when they are asked for; raises as `Kubernetes` does."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def list_claims(self, deadline: Deadline) -> list[Claim]:
        """Return every PersistentVolumeClaim."""
        return [
            Claim.parse(each) for each in self._list("/api/v1/persistentvolumeclaims", deadline)
        ]

    def list_volumes(self, deadline: Deadline) -> list[VolumeStatus]:
        """Return every PersistentVolume."""
        return [
            VolumeStatus.parse(each) for each in self._list("/api/v1/persistentvolumes", deadline)
        ]

    def list_attachments(self, deadline: Deadline) -> list[AttachmentStatus]:
        """Return every VolumeAttachment."""
        found = self._list(f"{_STORAGE}/volumeattachments", deadline)
        return [AttachmentStatus.parse(each) for each in found]

    def list_nodes(self, deadline: Deadline) -> list[KnownNode]:
        """Return every Node."""
        return [KnownNode.parse(each) for each in self._list("/api/v1/nodes", deadline)]

    def list_csi_nodes(self, deadline: Deadline) -> dict[str, CsiNode]:
        """Return what kubelet has registered, by the Node's name."""
        found = self._list(f"{_STORAGE}/csinodes", deadline)
        return {name_of(each): CsiNode.parse(each) for each in found}

    def list_classes(self, deadline: Deadline) -> list[StorageClass]:
        """Return every StorageClass."""
        found = self._list(f"{_STORAGE}/storageclasses", deadline)
        return [StorageClass.parse(each) for each in found]

    def list_snapshots(self, deadline: Deadline) -> list[SnapshotStatus]:
        """Return every VolumeSnapshotContent, none where the cluster doesn't have snapshots."""
        try:
            found = self._list(f"{_SNAPSHOTS}/volumesnapshotcontents", deadline)
        except NotFound:
            return []
        return [SnapshotStatus.parse(each) for each in found]

    def has_snapshots(self, deadline: Deadline) -> bool:
        """Return whether the cluster has the CRDs of snapshots."""
        try:
            self._source.get(_SNAPSHOTS, deadline)
        except NotFound:
            return False
        return True

    def get_csi_driver(self, name: str, deadline: Deadline) -> CsiDriver:
        """Return the CSIDriver of a name.

        Raises:
            NotFound: There is none.
        """
        return CsiDriver.parse(self._source.get(f"{_STORAGE}/csidrivers/{name}", deadline))

    def _list(self, path: str, deadline: Deadline) -> list[Json]:
        return list_all(self._source, path, deadline)


def name_of(found: Json) -> str:
    """Return an object's name, empty if it has none."""
    metadata = found.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""
