"""The doctor's check of the service accounts' rights (N11, S23)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.workloads import Workload
from csi_exoblock.tools.doctor import Check, Finding, well, wrong
from csi_exoblock.tools.installation import DRIVER, NEEDS, Installation
from csi_exoblock.tools.reach import CLUSTER_ID, Reach

_STORAGE = "storage.k8s.io"
_SNAPSHOTS = "snapshot.storage.k8s.io"
_REVIEWS = Right(verb="create", group="authorization.k8s.io", resource="subjectaccessreviews")

OF_CLUSTER: Mapping[str, tuple[Right, ...]] = {
    "csi-provisioner": (Right(verb="create", resource="persistentvolumes"),),
    "csi-attacher": (Right(verb="patch", group=_STORAGE, resource="volumeattachments/status"),),
    "csi-resizer": (Right(verb="patch", resource="persistentvolumeclaims/status"),),
    "csi-snapshotter": (
        Right(verb="update", group=_SNAPSHOTS, resource="volumesnapshotcontents/status"),
    ),
    "controller": (Right(verb="list", group=_SNAPSHOTS, resource="volumesnapshotcontents"),),
    "node": (
        Right(verb="get", resource="nodes"),
        Right(verb="get", group=_STORAGE, resource="csinodes"),
        Right(verb="list", group=_STORAGE, resource="volumeattachments"),
    ),
}
"""Rights of the ClusterRoles by the program that needs them.

Each role has one at least, so that a role or binding that is missing is found.
"""

OF_NAMESPACE: Mapping[str, tuple[Right, ...]] = {
    "controller": (Right(verb="update", group="coordination.k8s.io", resource="leases"),),
    "node": (Right(verb="get", group="apps", resource="daemonsets"),),
}
"""The same of the Roles in the driver's namespace."""


class RightChecks:
    """Asks the API server whether the driver's service accounts have their rights."""

    def __init__(self, reach: Reach, installation: Installation) -> None:
        self._reach = reach
        self._installation = installation

    def all(self) -> list[Check]:
        """Return the check."""
        return [Check("rights", self._findings, needs=(*NEEDS, _REVIEWS))]

    def _findings(self) -> Iterator[Finding]:
        reviews = self._reach.reviews()
        for workload in self._installation.workloads:
            needed = list(needed_by(workload))
            for program, right in needed:
                deadline = self._reach.deadline()
                if not reviews.may(workload.account, right, deadline):
                    yield wrong(
                        "rights",
                        f"service account {workload.account} may not {right}, as {program} must",
                        "install the chart again, with rbac.create for this service account",
                    )
            yield well("rights", f"{workload.account}: {len(needed)} rights were checked")


def needed_by(workload: Workload) -> Iterator[tuple[str, Right]]:
    """Return the rights that a workload needs, each with the program that needs it."""
    (driver,) = (each for each in workload.containers if each.name == DRIVER)
    service = "node" if workload.replicas is None else "controller"
    programs = [service, *(each.sidecar for each in workload.containers)]
    for program in programs:
        for right in OF_CLUSTER.get(program, ()):
            yield program, right
    for right in OF_NAMESPACE[service]:
        yield service, dataclasses.replace(right, namespace=workload.namespace)
    if service == "controller" and "cluster-id" not in driver.flags:
        yield service, CLUSTER_ID
