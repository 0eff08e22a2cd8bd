"""The doctor's checks of the objects in Kubernetes (N11)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

from csi_exoblock.errors import NotFound
from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.inventory import Inventory
from csi_exoblock.tools import facts, status
from csi_exoblock.tools.doctor import Check, Finding, not_checked, well, wrong
from csi_exoblock.tools.doctor_nodes import NodeChecks
from csi_exoblock.tools.doctor_pods import PodChecks
from csi_exoblock.tools.doctor_rights import RightChecks
from csi_exoblock.tools.doctor_sidecars import SidecarChecks
from csi_exoblock.tools.installation import SNAPSHOT_CLASSES, Installation
from csi_exoblock.tools.reach import Reach
from csi_exoblock.tools.tables import age

_USE_KUBECONFIG = "use your kubeconfig: run this command outside of the cluster"
_SNAPSHOTS = Right(verb="list", group="snapshot.storage.k8s.io", resource="volumesnapshots")
_FILE_POLICY = "File"


class ClusterChecks:
    """Checks the installation's objects in Kubernetes, with the rights of the user.

    In a pod these are the rights of a service account. There each check first asks whether it has
    them, because refused requests would only fill the audit log (S23).
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def all(self) -> list[Check]:
        """Return the checks."""
        if not self._reach.has_kubernetes:
            return [Check("Kubernetes", self._nothing)]
        installation = Installation(self._reach)
        checks = [
            Check("CSIDriver", self._driver, needs=(_read("get", "csidrivers"),)),
            Check("classes", self._classes, needs=(_read("list", "storageclasses"),)),
            Check("snapshots", self._snapshots),
            *NodeChecks(self._reach, installation).all(),
            Check("volumes", self._volumes, needs=facts.needs(self._reach)),
            *SidecarChecks(self._reach, installation).all(),
            *PodChecks(self._reach, installation).all(),
            *RightChecks(self._reach, installation).all(),
        ]
        guarded = [self._guarded(each) for each in checks]
        if self._reach.is_in_pod:
            return guarded
        remedy = "see that `kubectl get nodes` works, then run this command again"
        return [Check("login", self._login, remedy), *guarded]

    def _nothing(self) -> Iterator[Finding]:
        says = "not checked here, because kubectl is not installed"
        yield not_checked("Kubernetes", says, _USE_KUBECONFIG)

    def _login(self) -> Iterator[Finding]:
        self._reach.log_in()
        yield well("login", "the cluster knows this user")

    def _guarded(self, check: Check) -> Check:
        """Return the check so that it is only made with a login, and the rights that it needs."""
        return dataclasses.replace(check, findings=partial(self._if_permitted, check))

    def _if_permitted(self, check: Check) -> Iterator[Finding]:
        if self._reach.lacks_login:
            yield not_checked(check.name, "no login to the cluster")
        elif right := self._reach.missing_right(check.needs):
            says = f"not checked here, because this service account may not {right}"
            yield not_checked(check.name, says, _USE_KUBECONFIG)
        else:
            yield from check.findings()

    def _driver(self) -> Iterator[Finding]:
        name = self._reach.driver_name
        try:
            found = self._cluster().get_csi_driver(name, self._reach.deadline())
        except NotFound:
            yield wrong(
                "CSIDriver",
                f"there is none named {name}",
                "install the chart; if it is installed with another driverName, give --driver-name",
            )
            return
        if not found.attach_required:
            yield wrong(
                "CSIDriver",
                "attachRequired is false, so no volume is ever attached",
                "delete the CSIDriver and install the chart again",
            )
        if found.group_policy != _FILE_POLICY:
            yield wrong(
                "CSIDriver",
                f"fsGroupPolicy is {found.group_policy or 'not set'}",
                "kubelet may not change the owner of files: unless you chose it, set the chart's "
                "value csiDriver.fsGroupPolicy to File, then helm upgrade",
            )
        yield well("CSIDriver", f"{name} is there")

    def _classes(self) -> Iterator[Finding]:
        driver, zones = self._reach.driver_name, self._reach.zones()
        ours = [
            each
            for each in self._cluster().list_classes(self._reach.deadline())
            if each.driver_name == driver
        ]
        if not ours:
            yield wrong("classes", f"no StorageClass has provisioner {driver}", "create one")
        for each in ours:
            if not each.waits_for_pod and len(zones) > 1:
                yield wrong(
                    "classes",
                    f"{each.name} binds immediately, in a cluster of {len(zones)} zones",
                    "create a class with volumeBindingMode WaitForFirstConsumer",
                )
            if not each.may_expand:
                yield wrong(
                    "classes",
                    f"{each.name} does not allow expansion",
                    f"kubectl patch storageclass {each.name} "
                    "--patch '{\"allowVolumeExpansion\":true}'",
                )
            yield well("classes", f"{each.name} is there")

    def _snapshots(self) -> Iterator[Finding]:
        if not self._cluster().has_snapshots(self._reach.deadline()):
            yield not_checked(
                "snapshots", "the cluster has no snapshot CRDs, so it has no snapshots"
            )
            return
        yield well("snapshots", "the CRDs are there")
        needs = (SNAPSHOT_CLASSES, _SNAPSHOTS)
        yield from self._if_permitted(Check("snapshots", self._forgotten_snapshots, needs=needs))

    def _forgotten_snapshots(self) -> Iterator[Finding]:
        """Yield the snapshots for which no snapshot controller has made a content.

        That controller can run anywhere, also outside of the cluster, so only this shows it.
        """
        driver, now = self._reach.driver_name, self._reach.cloud.now()
        classes = {
            name
            for each in self._cluster().list_snapshot_classes(self._reach.deadline())
            if each.driver_name == driver
            for name in (each.name, *([""] if each.is_default else []))
        }
        snapshots = [
            each
            for each in self._cluster().list_snapshots(self._reach.deadline())
            if each.class_name in classes
        ]
        for each in snapshots:
            created = each.created_at.timestamp() if each.created_at else now
            if not each.content and now - created > self._reach.timing.doctor_snapshot_age:
                yield wrong(
                    "snapshots",
                    f"{each.namespace}/{each.name} has had no VolumeSnapshotContent for "
                    f"{age(each.created_at, now)}{f': {each.error}' if each.error else ''}",
                    "see that a snapshot controller runs, and the events of the VolumeSnapshot",
                )
        yield well("snapshots", f"{len(snapshots)} VolumeSnapshots were checked")

    def _volumes(self) -> Iterator[Finding]:
        seen = facts.gather(self._reach)
        found = status.rows(seen)
        for row in found:
            name = row.claim or row.persistent_volume
            for note in row.notes:
                if note.is_wrong:
                    yield wrong("volumes", f"{name}: {note}", "see docs/troubleshooting.md")
        yield well("volumes", f"{len(found)} claims and PersistentVolumes were checked")

    def _cluster(self) -> Inventory:
        return self._reach.inventory()


def _read(verb: str, resource: str) -> Right:
    return Right(verb=verb, group="storage.k8s.io", resource=resource)
