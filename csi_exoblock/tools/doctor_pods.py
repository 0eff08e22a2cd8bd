"""The doctor's checks of the driver's pods: do they run, and who leads (N11)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.workloads import ContainerStatus, Lease, Pod, Workload
from csi_exoblock.tools.doctor import Check, Finding, not_checked, well, wrong
from csi_exoblock.tools.installation import DRIVER, LABEL, NEEDS, Installation
from csi_exoblock.tools.reach import Reach
from csi_exoblock.tools.tables import age

# Reasons to wait that every container has for a while; the pod's age tells whether it is too long.
_STARTING = ("ContainerCreating", "PodInitializing")
_OUT_OF_MEMORY = "OOMKilled"
_LEASE_PREFIXES = {
    "csi-provisioner": "",
    "csi-attacher": "external-attacher-leader-",
    "csi-resizer": "external-resizer-",
    "csi-snapshotter": "external-snapshotter-leader-",
}
_LEASES = Right(verb="list", group="coordination.k8s.io", resource="leases")


class PodChecks:
    """Checks the pods of the controller and of the nodes."""

    def __init__(self, reach: Reach, installation: Installation) -> None:
        self._reach = reach
        self._installation = installation

    def all(self) -> list[Check]:
        """Return the checks."""
        return [
            Check("pods", self._pods, needs=NEEDS),
            Check("leaders", self._leaders, needs=(*NEEDS, _LEASES)),
        ]

    @property
    def _now(self) -> float:
        """The cloud's time, because the clock of a desk can be wrong, in seconds of Unix time."""
        return self._reach.cloud.now()

    def _pods(self) -> Iterator[Finding]:
        workloads = self._installation.workloads
        if not workloads:
            yield not_checked(
                "pods",
                f"no Deployment or DaemonSet with label {LABEL} runs {self._reach.driver_name}",
                "install the chart, or give this label to your own manifests",
            )
        for workload in workloads:
            pods = self._installation.pods_of(workload)
            yield from _of_workload(workload, len(pods))
            for pod in pods:
                yield from self._of_pod(pod)
            yield well("pods", f"{len(pods)} pods of {workload.name} were checked")

    def _of_pod(self, pod: Pod) -> Iterator[Finding]:
        found = [*self._of_containers(pod)]
        yield from found
        if not pod.is_ready and not found:  # else a container has told why
            yield self._unready(pod)

    def _of_containers(self, pod: Pod) -> Iterator[Finding]:
        driver = next((each for each in pod.containers if each.name == DRIVER), None)
        for container in (*pod.init_containers, *pod.containers):
            yield from self._of_container(pod, container)
        for container in pod.containers:
            if driver and self._has_old_socket(container, driver):
                yield wrong(
                    "pods",
                    f"{container.name} in {pod.name} is older than the driver's process there, "
                    "so it can still use the socket of the one before",
                    f"kubectl --namespace {pod.namespace} delete pod {pod.name}",
                )

    def _has_old_socket(self, container: ContainerStatus, driver: ContainerStatus) -> bool:
        """Return whether a sidecar can have connected to the driver's process before this one.

        To one that ended at its start, as with a Secret that it can't read, no sidecar connects:
        they wait, and may be as old as the pod.
        """
        return (
            container.sidecar != ""
            and driver.ran_seconds > self._reach.timing.doctor_short_run
            and container.started_at is not None
            and driver.started_at is not None
            and container.started_at < driver.started_at
        )

    def _unready(self, pod: Pod) -> Finding:
        state = (
            f"on node {pod.node_name} has not been ready" if pod.node_name else "has had no node"
        )
        since = age(pod.unready_since, self._now) or "long"
        reason = pod.unready_reason or "Kubernetes gives no reason"
        says = f"{pod.name} {state} for {since}: {reason}"
        remedy = f"kubectl --namespace {pod.namespace} describe pod {pod.name}"
        begun = pod.unready_since.timestamp() if pod.unready_since else 0.0
        if self._now - begun < self._reach.timing.doctor_pod_start:
            return not_checked("pods", says, "it might be starting: run this command again")
        return wrong("pods", says, remedy)

    def _of_container(self, pod: Pod, container: ContainerStatus) -> Iterator[Finding]:
        where = f"{container.name} in {pod.name} on node {pod.node_name or '(none)'}"
        if container.waiting_reason and container.waiting_reason not in _STARTING:
            yield wrong(
                "pods",
                f"{where} does not run: {container.waiting_reason}",
                f"kubectl --namespace {pod.namespace} describe pod {pod.name}",
            )
        elif container.ended_at and self._is_recent(container.ended_at.timestamp()):
            yield wrong(
                "pods",
                f"{where} has restarted {container.restarts} times, the last time "
                f"{age(container.ended_at, self._now)} ago: {container.ended_reason or 'unknown'}",
                "raise its memory limit"
                if container.ended_reason == _OUT_OF_MEMORY
                else f"kubectl --namespace {pod.namespace} logs {pod.name} "
                f"--container {container.name} --previous",
            )

    def _is_recent(self, moment: float) -> bool:
        return self._now - moment < self._reach.timing.doctor_restart_age

    def _leaders(self) -> Iterator[Finding]:
        if self._installation.has_controller and not self._installation.has_ready_controller:
            yield not_checked("leaders", "no pod of the controller is ready, see pods")
            return
        deadline = self._reach.deadline()
        inventory = self._reach.inventory()
        leases = {
            lease.name: lease
            for namespace in self._installation.namespaces
            for lease in inventory.list_leases(namespace, deadline)
        }
        silent: dict[str, list[tuple[str, Lease]]] = {}
        for _, sidecar in self._installation.sidecars():
            elects = sidecar.flags.get("leader-election") == "true"
            if not elects or sidecar.sidecar not in _LEASE_PREFIXES:
                continue
            name = lease_name(sidecar.sidecar, self._reach.driver_name)
            lease = leases.get(name)
            if lease is None or not lease.holder:
                yield wrong(
                    "leaders",
                    f"no replica of {sidecar.sidecar} leads: lease {name}",
                    f"see the log of {sidecar.sidecar} in the controller's pods",
                )
            elif self._is_silent(lease):
                silent.setdefault(lease.holder, []).append((sidecar.sidecar, lease))
            else:
                yield well("leaders", f"{lease.holder} leads {sidecar.sidecar}")
        for holder, led in silent.items():
            yield self._of_silent(holder, led)

    def _is_silent(self, lease: Lease) -> bool:
        renewed = lease.renewed_at.timestamp() if lease.renewed_at else 0.0
        # The leader wrote the time of its own node's clock.
        return self._now - renewed > 2 * lease.duration_seconds + self._reach.timing.clock_error

    def _of_silent(self, holder: str, led: Sequence[tuple[str, Lease]]) -> Finding:
        """Return the finding of a pod that leads but does nothing: one, however much it leads."""
        sidecars = ", ".join(sidecar for sidecar, _ in led)
        names = ", ".join(lease.name for _, lease in led)
        latest = max(filter(None, (lease.renewed_at for _, lease in led)), default=None)
        return wrong(
            "leaders",
            f"{holder} leads {sidecars}, and has not renewed {names} for "
            f"{age(latest, self._now) or 'ever'}",
            f"see the log of {led[0][0]} in the controller's pods; another takes over if {holder} "
            "is deleted",
        )


def _of_workload(workload: Workload, pods: int) -> Iterator[Finding]:
    kind = "daemonset" if workload.replicas is None else "deployment"
    command = f"kubectl --namespace {workload.namespace}"
    if workload.replicas == 0:
        yield wrong(
            "pods",
            f"{workload.name} is scaled to 0 pods, so nothing is provisioned or attached",
            f"{command} scale {kind} {workload.name} --replicas 2",
        )
    elif pods < workload.wanted:
        yield wrong(
            "pods",
            f"{workload.name} has {pods} of {workload.wanted} pods",
            f"{command} describe {kind} {workload.name}",
        )


def lease_name(sidecar: str, driver_name: str) -> str:
    """Return the name of the Lease by which a sidecar's replicas elect their leader.

    Source: the function `main` of each sidecar, and `sanitizeName` of csi-lib-utils.
    """
    name = f"{_LEASE_PREFIXES[sidecar]}{driver_name}"
    return re.sub("[^a-zA-Z0-9-]", "-", name)
