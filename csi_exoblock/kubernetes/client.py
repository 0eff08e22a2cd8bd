"""What the driver asks of Kubernetes: one method for each question."""

from __future__ import annotations

from urllib.parse import quote

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesUnavailable, NotFound
from csi_exoblock.kubernetes.objects import (
    CsiNode,
    Json,
    Node,
    PersistentVolume,
    SnapshotContent,
    VolumeAttachment,
    is_being_deleted,
    uid_of,
)
from csi_exoblock.kubernetes.pages import list_all
from csi_exoblock.kubernetes.source import Source

_NODES = "/api/v1/nodes"
_CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"
_ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
_VOLUMES = "/api/v1/persistentvolumes"
_CONTENTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"

_CLUSTER = "/api/v1/namespaces/kube-system"
"""The namespace that every cluster has, so that its UID is the cluster's."""


class Kubernetes:
    """The cluster's objects, read when they are asked for; nothing is watched or kept.

    Every method raises `KubernetesDenied` for want of rights, and `KubernetesUnavailable` where
    the server does not answer in time or not with sense.
    """

    def __init__(self, server: Source) -> None:
        self._server = server

    def get_node(self, name: str, deadline: Deadline) -> Node:
        """Return a Node.

        Raises:
            NotFound: There is none of this name.
        """
        return Node.parse(self._server.get(_path(_NODES, name), deadline))

    def get_csi_node(self, name: str, deadline: Deadline) -> CsiNode:
        """Return what kubelet has registered on a node.

        Raises:
            NotFound: Nothing yet.
        """
        return CsiNode.parse(self._server.get(_path(_CSI_NODES, name), deadline))

    def remove_taint(self, node_name: str, key: str, deadline: Deadline) -> bool:
        """Take a taint from a Node, whatever its effect, and return whether it had one.

        Raises:
            NotFound: There is no such Node.
            KubernetesConflict: Its taints were changed meanwhile; try again.
        """
        node = self.get_node(node_name, deadline)
        rest = [each for each in node.taints if each.get("key") != key]
        if len(rest) == len(node.taints):
            return False
        # The first change refuses the second one where somebody else has changed the taints.
        changes = [
            {"op": "test", "path": "/spec/taints", "value": list(node.taints)},
            {"op": "replace", "path": "/spec/taints", "value": rest},
        ]
        self._server.patch(_path(_NODES, node_name), changes, deadline)
        return True

    def is_daemon_set_wanted(self, namespace: str, name: str, deadline: Deadline) -> bool:
        """Tell whether a DaemonSet exists and is to stay."""
        path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/daemonsets"
        try:
            return not is_being_deleted(self._server.get(_path(path, name), deadline))
        except NotFound:
            return False

    def get_cluster_uid(self, deadline: Deadline) -> str:
        """Return what tells this cluster from every other one: the UID of kube-system.

        Raises:
            NotFound: There is no such namespace.
        """
        if uid := uid_of(self._server.get(_CLUSTER, deadline)):
            return uid
        raise KubernetesUnavailable("Kubernetes: the namespace kube-system has no UID")

    def list_volume_attachments(self, deadline: Deadline) -> list[VolumeAttachment]:
        """Return every VolumeAttachment of the cluster: they can't be selected by node."""
        return [VolumeAttachment.parse(each) for each in self._list(_ATTACHMENTS, deadline)]

    def list_persistent_volumes(self, deadline: Deadline) -> list[PersistentVolume]:
        """Return every PersistentVolume of the cluster, those of other drivers too."""
        return [PersistentVolume.parse(each) for each in self._list(_VOLUMES, deadline)]

    def list_snapshot_contents(self, deadline: Deadline) -> list[SnapshotContent]:
        """Return every VolumeSnapshotContent of the cluster, those of other drivers too.

        Raises:
            NotFound: The cluster doesn't have snapshots.
        """
        return [SnapshotContent.parse(each) for each in self._list(_CONTENTS, deadline)]

    def _list(self, path: str, deadline: Deadline) -> list[Json]:
        return list_all(self._server, path, deadline)


def _path(collection: str, name: str) -> str:
    return f"{collection}/{quote(name, safe='')}"
