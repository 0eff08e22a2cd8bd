"""The driver's requests to Kubernetes, a method for each."""

from __future__ import annotations

from urllib.parse import quote

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesUnavailable, NotFound
from csi_exoblock.kubernetes.fields import is_being_deleted, text
from csi_exoblock.kubernetes.nodes import CsiNode, Node
from csi_exoblock.kubernetes.pages import list_all, list_if_known
from csi_exoblock.kubernetes.source import Source
from csi_exoblock.kubernetes.storage import PersistentVolume, SnapshotContent, VolumeAttachment

_NODES = "/api/v1/nodes"
_CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"
_ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
_VOLUMES = "/api/v1/persistentvolumes"
_CONTENTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"

# Every cluster has this namespace, so its UID serves as the cluster's.
_CLUSTER = "/api/v1/namespaces/kube-system"


class Kubernetes:
    """Reads the cluster's objects at each call, and keeps none.

    Every method raises `KubernetesDenied` if the rights are missing, and `KubernetesUnavailable` if
    the server gives no answer in time, or none that can be read.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def get_node(self, name: str, deadline: Deadline) -> Node:
        """Return a Node.

        Raises:
            NotFound: There is none.
        """
        return Node.parse(self._source.get(_path(_NODES, name), deadline))

    def get_csi_node(self, name: str, deadline: Deadline) -> CsiNode:
        """Return the CSINode of a node.

        Raises:
            NotFound: Kubelet has registered no driver yet.
        """
        return CsiNode.parse(self._source.get(_path(_CSI_NODES, name), deadline))

    def remove_taint(self, node_name: str, key: str, deadline: Deadline) -> bool:
        """Remove the taints of a key from a Node, and return whether it had any.

        Raises:
            NotFound: There is no such Node.
            KubernetesConflict: Its taints were changed in the meantime; try again.
        """
        node = self.get_node(node_name, deadline)
        rest = [each for each in node.taints if each.get("key") != key]
        if len(rest) == len(node.taints):
            return False
        # The test fails, and with it the whole patch, if somebody else has changed the taints.
        changes = [
            {"op": "test", "path": "/spec/taints", "value": list(node.taints)},
            {"op": "replace", "path": "/spec/taints", "value": rest},
        ]
        self._source.patch(_path(_NODES, node_name), changes, deadline)
        return True

    def is_daemon_set_wanted(self, namespace: str, name: str, deadline: Deadline) -> bool:
        """Return whether a DaemonSet exists and is not being deleted."""
        path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/daemonsets"
        try:
            return not is_being_deleted(self._source.get(_path(path, name), deadline))
        except NotFound:
            return False

    def get_cluster_uid(self, deadline: Deadline) -> str:
        """Return the UID of the namespace kube-system, which identifies the cluster.

        Raises:
            NotFound: There is no such namespace.
        """
        if uid := text(self._source.get(_CLUSTER, deadline), "metadata", "uid"):
            return uid
        raise KubernetesUnavailable("Kubernetes: the namespace kube-system has no UID")

    def list_volume_attachments(self, deadline: Deadline) -> list[VolumeAttachment]:
        """Return every VolumeAttachment; the API server can't select them by node."""
        return list_all(self._source, _ATTACHMENTS, VolumeAttachment.parse, deadline)

    def list_persistent_volumes(self, deadline: Deadline) -> list[PersistentVolume]:
        """Return every PersistentVolume, those of other drivers too."""
        return list_all(self._source, _VOLUMES, PersistentVolume.parse, deadline)

    def list_snapshot_contents(self, deadline: Deadline) -> list[SnapshotContent]:
        """Return every VolumeSnapshotContent, those of other drivers too.

        A cluster without the CRDs of snapshots has none.
        """
        return list_if_known(self._source, _CONTENTS, SnapshotContent.parse, deadline)


def _path(collection: str, name: str) -> str:
    return f"{collection}/{quote(name, safe='')}"
