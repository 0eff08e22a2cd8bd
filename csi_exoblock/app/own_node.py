"""The questions of the node service to Kubernetes, which it gets as callables."""

from __future__ import annotations

from collections.abc import Mapping

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import KubernetesSettings
from csi_exoblock.errors import HostError, NotFound
from csi_exoblock.kubernetes.client import Kubernetes
from csi_exoblock.kubernetes.server import ApiServer
from csi_exoblock.timing import Timing

_TAINT = "agent-not-ready"


class OwnNode:
    """The Node on which this process runs.

    Args:
        cluster: `None` outside of a cluster; every question then raises HostError.
    """

    def __init__(
        self, cluster: KubernetesSettings | None, *, driver_name: str, timing: Timing
    ) -> None:
        self._name = cluster.node_name if cluster else None
        self._kubernetes = Kubernetes(ApiServer(cluster, timing=timing)) if cluster else None
        self._driver_name = driver_name
        self._timing = timing

    def read(self) -> tuple[str, Mapping[str, str]]:
        """Return the Node's provider id and its labels.

        Raises:
            HostError: There is no cluster, or the Node's name is not known.
            KubernetesError: The API server does not answer, or refuses it.
            NotFound: There is no such Node.
        """
        kubernetes, name = self._asked()
        node = kubernetes.get_node(name, Deadline(self._timing.metadata_timeout))
        return node.provider_id, node.labels

    @property
    def is_known(self) -> bool:
        """Whether there is a Node to ask about."""
        return self._kubernetes is not None and self._name is not None

    def is_registered(self) -> bool:
        """Return whether kubelet knows the driver and its limit of attached volumes.

        A CSINode can outlive for a while the Node of the same name whose it was.

        Raises: As `read`, but for NotFound.
        """
        kubernetes, name = self._asked()
        deadline = Deadline(self._timing.kubernetes_timeout)
        try:
            found = kubernetes.get_csi_node(name, deadline)
            if found.limits.get(self._driver_name) is None:
                return False
            return found.node_uid in ("", kubernetes.get_node(name, deadline).uid)
        except NotFound:  # kubelet makes it with its first driver
            return False

    def volumes(self, *, of_any_driver: bool = False) -> frozenset[str]:
        """Return the ids of the volumes that are attached to the Node, or are to be.

        Args:
            of_any_driver: Whether to return those of other drivers too.

        Raises: As `read`.
        """
        kubernetes, name = self._asked()
        node = kubernetes.get_node(name, Deadline(self._timing.kubernetes_timeout))
        if of_any_driver:
            return frozenset(handle for _, handle in node.volumes)
        return node.volumes_of(self._driver_name)

    def remove_taint(self) -> bool:
        """Take the start-up taint from the Node, and return whether it had it.

        Raises:
            KubernetesConflict: The Node's taints were changed meanwhile; beside that, as `read`.
        """
        kubernetes, name = self._asked()
        deadline = Deadline(self._timing.kubernetes_timeout)
        return kubernetes.remove_taint(name, f"{self._driver_name}/{_TAINT}", deadline)

    def _asked(self) -> tuple[Kubernetes, str]:
        if self._kubernetes is None:
            raise HostError("this process runs in no pod of Kubernetes")
        if self._name is None:
            raise HostError("--node-name (KUBE_NODE_NAME) does not say which Node this is")
        return self._kubernetes, self._name
