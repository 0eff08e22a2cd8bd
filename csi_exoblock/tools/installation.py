"""The driver's own Deployments, DaemonSets and pods in a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import DEFAULT_DRIVER_NAME
from csi_exoblock.controller.labels import Labels
from csi_exoblock.errors import KubernetesDenied
from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.workloads import Container, Pod, Workload
from csi_exoblock.tools.reach import Reach

LABEL = "app.kubernetes.io/part-of=csi-exoblock"
"""The label of every object that the chart makes."""

DRIVER = "csi-exoblock"
"""The name of the driver's container."""

NEEDS = tuple(
    Right(verb="list", group=group, resource=resource)
    for group, resource in (("apps", "deployments"), ("apps", "daemonsets"), ("", "pods"))
)
"""The rights to read an installation."""

SNAPSHOT_CLASSES = Right(
    verb="list", group="snapshot.storage.k8s.io", resource="volumesnapshotclasses"
)
"""The right to read which classes of snapshots the driver has."""


class Installation:
    """Reads the workloads and their pods, each once; raises as `Kubernetes`.

    There are none if the driver is not installed, or not from this project's manifests.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """Return the driver's Deployments and DaemonSets."""
        name = self._reach.driver_name
        found = self._reach.inventory().list_workloads(LABEL, self._reach.deadline())
        return tuple(each for each in found if name in _driver_names(each))

    @cached_property
    def placed(self) -> tuple[tuple[Workload, Pod], ...]:
        """Return the pods of all workloads, each with its workload."""
        inventory = self._reach.inventory()
        return tuple(
            (each, pod)
            for each in self.workloads
            for pod in inventory.list_pods(each, self._reach.deadline())
        )

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Return the pods of all workloads."""
        return tuple(pod for _, pod in self.placed)

    def pods_of(self, workload: Workload) -> tuple[Pod, ...]:
        """Return the pods of a workload, without those that have ended or are being deleted."""
        return tuple(pod for each, pod in self.placed if each == workload and not pod.is_over)

    def plugins(self) -> Mapping[str, Pod] | None:
        """Return the pods of the node plugin by their nodes, `None` if it is not installed."""
        found = self._daemon_sets
        pods = (pod for each in found for pod in self.pods_of(each))
        return {pod.node_name: pod for pod in pods} if found else None

    def labels(self, deadline: Deadline) -> Labels:
        """Return the labels by which this installation's volumes are known.

        At the desk the flags that the command lacks are read from the controller's Deployment: with
        another cluster id or prefix its volumes would look like those of others. In a pod of the
        driver the command has them already.

        Raises:
            KubernetesError: The cluster can't be read, or no flag gives its id and it denies it.
        """
        return self._reach.labels(deadline, installed=self._controller_flags())

    def _controller_flags(self) -> Mapping[str, str]:
        """Return the flags of the installed controller; none in a pod, or if they are denied."""
        if self._reach.is_in_pod:
            return {}
        try:
            containers = [each for found in self._deployments for each in found.containers]
        except KubernetesDenied:
            return {}
        return next((each.flags for each in containers if each.name == DRIVER), {})

    @property
    def lacks_plugins(self) -> bool:
        """Whether a DaemonSet has fewer pods than nodes."""
        return any(len(self.pods_of(each)) < each.wanted for each in self._daemon_sets)

    @property
    def has_ready_controller(self) -> bool:
        """Return whether a pod of the controller is ready."""
        return any(pod.is_ready for each in self._deployments for pod in self.pods_of(each))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces of the workloads."""
        return tuple(sorted({each.namespace for each in self.workloads}))

    @property
    def has_controller(self) -> bool:
        """Return whether the controller runs here, and not only the node plugin."""
        return bool(self._deployments)

    @property
    def _deployments(self) -> list[Workload]:
        """The controller's workloads."""
        return [each for each in self.workloads if each.replicas is not None]

    @property
    def _daemon_sets(self) -> list[Workload]:
        """The node plugin's workloads."""
        return [each for each in self.workloads if each.replicas is None]

    def sidecars(self) -> Iterator[tuple[Workload, Container]]:
        """Return each sidecar with its workload."""
        for workload in self.workloads:
            for container in workload.containers:
                if container.sidecar:
                    yield workload, container


def _driver_names(workload: Workload) -> list[str]:
    return [
        each.flags.get("driver-name", DEFAULT_DRIVER_NAME)
        for each in workload.containers
        if each.name == DRIVER
    ]
