"""The objects of Kubernetes that only an operator's commands read."""

from __future__ import annotations

from urllib.parse import quote

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import NotFound
from csi_exoblock.kubernetes.nodes import CsiNode, Node
from csi_exoblock.kubernetes.pages import list_all, list_if_known
from csi_exoblock.kubernetes.source import Source
from csi_exoblock.kubernetes.storage import (
    Claim,
    CsiDriver,
    SnapshotClass,
    StorageClass,
    VolumeSnapshot,
)
from csi_exoblock.kubernetes.workloads import Lease, Pod, Workload

_APPS = "/apis/apps/v1"
_STORAGE = "/apis/storage.k8s.io/v1"
_SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1"


class Inventory:
    """Reads the objects that the driver itself never needs. Raises as `Kubernetes` does."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def list_claims(self, deadline: Deadline) -> list[Claim]:
        """Return every PersistentVolumeClaim of the cluster."""
        return list_all(self._source, "/api/v1/persistentvolumeclaims", Claim.parse, deadline)

    def list_nodes(self, deadline: Deadline) -> list[Node]:
        """Return every Node."""
        return list_all(self._source, "/api/v1/nodes", Node.parse, deadline)

    def list_csi_nodes(self, deadline: Deadline) -> list[CsiNode]:
        """Return every CSINode."""
        return list_all(self._source, f"{_STORAGE}/csinodes", CsiNode.parse, deadline)

    def list_classes(self, deadline: Deadline) -> list[StorageClass]:
        """Return every StorageClass, those of other drivers too."""
        return list_all(self._source, f"{_STORAGE}/storageclasses", StorageClass.parse, deadline)

    def has_snapshots(self, deadline: Deadline) -> bool:
        """Return whether the cluster has the CRDs of snapshots."""
        try:
            self._source.get(_SNAPSHOTS, deadline)
        except NotFound:
            return False
        return True

    def list_snapshot_classes(self, deadline: Deadline) -> list[SnapshotClass]:
        """Return every VolumeSnapshotClass; a cluster without the CRDs of snapshots has none."""
        return list_if_known(
            self._source, f"{_SNAPSHOTS}/volumesnapshotclasses", SnapshotClass.parse, deadline
        )

    def list_snapshots(self, deadline: Deadline) -> list[VolumeSnapshot]:
        """Return every VolumeSnapshot; a cluster without the CRDs of snapshots has none."""
        return list_if_known(
            self._source, f"{_SNAPSHOTS}/volumesnapshots", VolumeSnapshot.parse, deadline
        )

    def list_workloads(self, label: str, deadline: Deadline) -> list[Workload]:
        """Return every Deployment and DaemonSet with a label, such as `name=value`."""
        query = {"labelSelector": label}
        return [
            each
            for kind in ("deployments", "daemonsets")
            for each in list_all(
                self._source, f"{_APPS}/{kind}", Workload.parse, deadline, query=query
            )
        ]

    def list_pods(self, workload: Workload, deadline: Deadline) -> list[Pod]:
        """Return the pods of a workload."""
        labels = ",".join(f"{name}={value}" for name, value in workload.selector.items())
        path = f"/api/v1/namespaces/{quote(workload.namespace, safe='')}/pods"
        return list_all(self._source, path, Pod.parse, deadline, query={"labelSelector": labels})

    def list_leases(self, namespace: str, deadline: Deadline) -> list[Lease]:
        """Return every Lease of a namespace."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases"
        return list_all(self._source, path, Lease.parse, deadline)

    def get_csi_driver(self, name: str, deadline: Deadline) -> CsiDriver:
        """Return the CSIDriver of a name.

        Raises:
            NotFound: There is none.
        """
        return CsiDriver.parse(self._source.get(f"{_STORAGE}/csidrivers/{name}", deadline))
