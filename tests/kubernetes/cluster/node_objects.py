"""Nodes that are objects only: no kubelet behind them, but an instance in the cloud."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.kubernetes.cluster.api import CSI_NODE, NODE, Api
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import DRIVER_NAME

OBJECT_ONLY = "csi-exoblock.test/object-only"
"""Taint of these nodes, with the namespace of the flow that made the node.

Only pods of that namespace that name a zone or a node may be put there.
"""

_TOPOLOGY_KEY = f"topology.{DRIVER_NAME}/zone"
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_ROOM = {"cpu": "4", "memory": "8Gi", "pods": "110"}


@dataclass(frozen=True, slots=True)
class NodeObject:
    """A node without a kubelet.

    Attributes:
        owner: The namespace whose pods may be put there.
        instance: The id of the cloud's instance that it stands for.
    """

    api: Api
    owner: str
    name: str
    instance: str

    @property
    def taint(self) -> dict[str, object]:
        """What keeps all other pods away."""
        return {"key": OBJECT_ONLY, "value": self.owner, "effect": "NoSchedule"}

    def report(self, *, ready: bool) -> None:
        """Say how the node is, as its kubelet would; the cluster believes it for 50 seconds."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": "Ready",
            "status": str(ready),
            "reason": "Test",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        status = {"capacity": _ROOM, "allocatable": _ROOM, "conditions": [condition]}
        self.api.patch_status(NODE, self.name, {"status": status})

    def take_out_of_service(self) -> None:
        """Say that the node is off for good, as an administrator would."""
        taint = {"key": _OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
        self.api.patch(NODE, self.name, {"spec": {"taints": [self.taint, taint]}})


@contextmanager
def node_object(namespace: Namespace, cloud: Cloud, name: str, zone: str) -> Iterator[NodeObject]:
    """Make a ready node in a zone, with the driver registered on it.

    Args:
        namespace: Whose pods alone may be put there.
        name: No other flow's node has the same.
    """
    api = namespace.cluster.api
    instance = cloud.add_instance(zone)
    labels = {
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/zone": zone,
        _TOPOLOGY_KEY: zone,
    }
    # The kubelet asks by this annotation that the controller manager attach its volumes.
    managed = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    driver = {
        "name": DRIVER_NAME,
        "nodeID": f"{zone}/{instance}",
        "topologyKeys": [_TOPOLOGY_KEY],
        "allocatable": {"count": 5},
    }
    metadata = {"name": name, "labels": labels, "annotations": managed}
    node = NodeObject(api, namespace.name, name, instance)
    api.create(NODE, {"metadata": metadata, "spec": {"taints": [node.taint]}})
    api.create(CSI_NODE, {"metadata": {"name": name}, "spec": {"drivers": [driver]}})
    node.report(ready=True)
    try:
        yield node
    finally:
        api.delete(CSI_NODE, name)
        api.delete(NODE, name)
        cloud.remove_instance(zone, instance)
