"""The doctor's checks of Kubernetes: driver, classes, nodes, volumes (N11)."""

from __future__ import annotations

from collections.abc import Iterator

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.quotas import ATTACHMENTS, read_quotas
from csi_exoblock.errors import DriverError, NotFound
from csi_exoblock.kubernetes.inventory import Inventory
from csi_exoblock.kubernetes.inventory_objects import KnownNode
from csi_exoblock.model import ZoneName
from csi_exoblock.tools import facts, status
from csi_exoblock.tools.doctor import Check, Finding, not_checked, well, wrong
from csi_exoblock.tools.reach import Reach

_USE_KUBECONFIG = "use your kubeconfig: run this from a desk"
_FILE_POLICY = "File"


class ClusterChecks:
    """Looks at what an installation has in Kubernetes, with the rights of a person.

    The driver's own service accounts may read little of it, and asking all the same would fill the
    audit log with refusals (S23).
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def all(self) -> list[Check]:
        """Return the checks."""
        if self._reach.source is None or self._reach.is_in_pod:
            return [Check("Kubernetes", self._elsewhere)]
        return [
            Check("CSIDriver", self._driver),
            Check("classes", self._classes),
            Check("snapshots", self._snapshots),
            Check("nodes", self._nodes),
            Check("volumes", self._volumes),
        ]

    def _elsewhere(self) -> Iterator[Finding]:
        why = "this is a pod" if self._reach.is_in_pod else "there is no kubectl"
        yield not_checked("Kubernetes", f"not checked here, for {why}", _USE_KUBECONFIG)

    def _driver(self) -> Iterator[Finding]:
        name = self._reach.driver_name
        try:
            found = self._cluster().get_csi_driver(name, self._deadline())
        except NotFound:
            yield wrong("CSIDriver", f"there is none named {name}", "install the chart")
            return
        if not found.attach_required:
            yield wrong(
                "CSIDriver",
                "attachRequired is false, so nothing is ever attached",
                "delete the CSIDriver and install the chart again",
            )
        if found.group_policy != _FILE_POLICY:
            yield wrong(
                "CSIDriver",
                f"fsGroupPolicy is {found.group_policy or 'not set'}",
                "delete the CSIDriver and install the chart again: it says File",
            )
        yield well("CSIDriver", f"{name} is there")

    def _classes(self) -> Iterator[Finding]:
        driver, zones = self._reach.driver_name, self._reach.cloud.zones(self._deadline())
        ours = [
            each
            for each in self._cluster().list_classes(self._deadline())
            if each.driver_name == driver
        ]
        if not ours:
            yield wrong("classes", f"no StorageClass has provisioner {driver}", "make one")
        for each in ours:
            if not each.waits_for_pod and len(zones) > 1:
                yield wrong(
                    "classes",
                    f"{each.name} binds immediately, in a cluster of {len(zones)} zones",
                    "make a class with volumeBindingMode WaitForFirstConsumer",
                )
            if not each.may_expand:
                yield wrong(
                    "classes",
                    f"{each.name} does not let volumes grow",
                    f"kubectl patch storageclass {each.name} "
                    "--patch '{\"allowVolumeExpansion\":true}'",
                )
            yield well("classes", f"{each.name} is there")

    def _snapshots(self) -> Iterator[Finding]:
        if self._cluster().has_snapshots(self._deadline()):
            yield well("snapshots", "the CRDs are there")
        else:
            yield not_checked("snapshots", "the cluster has no snapshot CRDs, so no snapshots")

    def _nodes(self) -> Iterator[Finding]:
        cluster, driver = self._cluster(), self._reach.driver_name
        registered = cluster.list_csi_nodes(self._deadline())
        holding = {
            each.node_name
            for each in cluster.list_attachments(self._deadline())
            if each.driver_name == driver
        }
        nodes = [each for each in cluster.list_nodes(self._deadline()) if each.instance]
        for node in nodes:
            limits = registered[node.name].limits if node.name in registered else {}
            yield from self._of_node(node, has_volumes=node.name in holding)
            if driver not in limits:
                yield wrong(
                    "nodes",
                    f"kubelet of {node.name} does not know the driver",
                    "look at the node plugin's pod there: docs/runbooks.md, "
                    "ExoblockNodePluginNotRegistered",
                )
            else:
                yield from self._of_limit(node, limits[driver])
        yield well("nodes", f"{len(nodes)} are instances of this cloud")

    def _of_node(self, node: KnownNode, *, has_volumes: bool) -> Iterator[Finding]:
        if not node.is_ready and has_volumes:
            yield wrong(
                "nodes",
                f"{node.name} is not ready, and has volumes attached",
                "if its instance is dead: docs/node-loss.md",
            )
        if not node.zone:
            yield wrong(
                "nodes",
                f"{node.name} has no label topology.kubernetes.io/zone",
                "the cloud controller sets it; see that it runs",
            )

    def _of_limit(self, node: KnownNode, limit: int | None) -> Iterator[Finding]:
        if not node.zone:
            return
        zone = self._reach.cloud.zone(ZoneName(node.zone))
        quota = read_quotas(zone, self._deadline()).get(ATTACHMENTS)
        if quota and quota.limit is not None and (limit is None or limit > quota.limit):
            yield wrong(
                "nodes",
                f"{node.name} promises {limit or 'any number of'} volumes, the organisation allows "
                f"{quota.limit}",
                "lower --volume-attach-limit (chart: node.volumeAttachLimit)",
            )
        try:
            volumes = facts.size_of_instance(self._reach, node, self._deadline())
        except DriverError as error:
            yield not_checked("nodes", f"size of {node.name} not read: {error}")
            return
        if volumes in ("micro", "tiny"):
            yield wrong(
                "nodes",
                f"{node.name} is of size {volumes}, and takes no volumes",
                "use instances of size small or larger",
            )

    def _volumes(self) -> Iterator[Finding]:
        seen = facts.gather(self._reach)
        found = status.rows(seen)
        for row in found:
            name = row.claim or row.persistent_volume
            for note in row.notes:
                if note.is_wrong:
                    yield wrong("volumes", f"{name}: {note}", "docs/troubleshooting.md")
        yield well("volumes", f"{len(found)} claims and PersistentVolumes were looked at")

    def _cluster(self) -> Inventory:
        return self._reach.inventory()

    def _deadline(self) -> Deadline:
        return Deadline(self._reach.timing.status_timeout)
