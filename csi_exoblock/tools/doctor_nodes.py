"""The doctor's check of the cluster's Nodes: registration, identity, attach limit, size (N11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from uuid import UUID

from csi_exoblock.controller.quotas import ATTACHMENTS, read_quotas
from csi_exoblock.errors import DriverError, HostError, NotFound
from csi_exoblock.exoscale.client import ZoneClient
from csi_exoblock.host.node_object import NodeObject
from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.nodes import Node
from csi_exoblock.kubernetes.workloads import Pod
from csi_exoblock.model import Instance, NodeId, ZoneName
from csi_exoblock.tools.doctor import Check, Finding, not_checked, well, wrong
from csi_exoblock.tools.installation import Installation
from csi_exoblock.tools.reach import Reach

_TOO_SMALL = ("micro", "tiny")  # Source: the vendor's documentation of block storage

_NEEDS = (
    Right(verb="list", resource="nodes"),
    Right(verb="list", group="storage.k8s.io", resource="csinodes"),
    Right(verb="list", group="storage.k8s.io", resource="volumeattachments"),
)


class NodeChecks:
    """Checks every Node that is an instance of this cloud, or might be one.

    It reads a zone's quotas and an instance type only once, because many nodes share them.
    """

    def __init__(self, reach: Reach, installation: Installation) -> None:
        self._reach = reach
        self._installation = installation
        self._attach_limits: dict[ZoneName, int | None] = {}
        self._sizes: dict[UUID, str] = {}
        self._gone: list[tuple[Node, NodeId]] = []
        self._has_instances = False

    def all(self) -> list[Check]:
        """Return the check."""
        return [Check("nodes", self._findings, needs=_NEEDS)]

    def _findings(self) -> Iterator[Finding]:
        kubernetes, inventory = self._reach.kubernetes(), self._reach.inventory()
        driver = self._reach.driver_name
        registered = {
            each.name: each.limits for each in inventory.list_csi_nodes(self._reach.deadline())
        }
        holding = {
            each.node_name
            for each in kubernetes.list_volume_attachments(self._reach.deadline())
            if each.driver_name == driver
        }
        found = inventory.list_nodes(self._reach.deadline())
        nodes = [each for each in found if each.instance]
        # Another provider's id is no fault where the driver found out its instance by itself.
        unnamed = [
            each
            for each in found
            if not each.instance
            and (not each.provider_id or driver in registered.get(each.name, {}))
        ]
        has_cloud = self._has_cloud()
        for node in (*nodes, *unnamed):
            if not node.is_ready and node.name in holding:
                yield wrong(
                    "nodes",
                    f"{node.name} is not ready, and has volumes attached",
                    "if its instance runs, start its kubelet; if it is dead, see docs/node-loss.md",
                )
        for node in unnamed:
            if driver not in registered.get(node.name, {}):
                yield wrong(
                    "nodes",
                    f"{node.name} has no providerID, and its kubelet does not know the driver",
                    "check that the cloud controller runs, or set --metadata-sources",
                )
        left_out = self._left_out(nodes)
        for node in nodes:
            limits = registered.get(node.name, {})
            takes_volumes = node not in left_out
            if takes_volumes:
                yield from self._of_registration(node, limits)
            yield from self._of_instance(node, limits, has_cloud, takes_volumes=takes_volumes)
        yield from self._of_gone()
        names = ", ".join(each.name for each in left_out)
        if left_out and not self._plugins:
            yield wrong(
                "nodes",
                f"no node is to have the plugin: the DaemonSets leave out {names}",
                "check node.nodeSelector, node.affinity and node.tolerations of the chart, and the "
                "nodes' size: tiny and micro take no volumes",
            )
        elif left_out:
            yield not_checked("nodes", f"the DaemonSets leave out {len(left_out)}: {names}")
        if not has_cloud:
            yield not_checked("nodes", "their sizes and attach limits: the API fails, see zones")
        yield well("nodes", f"{len(nodes)} are instances of this cloud")

    def _of_registration(self, node: Node, limits: Mapping[str, int | None]) -> Iterator[Finding]:
        if self._reach.driver_name not in limits:
            yield wrong(
                "nodes",
                f"kubelet of {node.name} does not know the driver{self._plugin_on(node)}",
                "see ExoblockNodePluginNotRegistered in docs/runbooks.md",
            )

    def _left_out(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the nodes that are to have no plugin: those too small, or not selected."""
        if self._plugins is None or self._installation.lacks_plugins:
            return []
        return [each for each in nodes if each.name not in self._plugins]

    def _plugin_on(self, node: Node) -> str:
        """Return what is known of the plugin's pod on a node, in words."""
        if self._plugins is None:
            return ""
        if (pod := self._plugins.get(node.name)) is None:
            return "; no pod of the plugin is there"
        return f"; the plugin's pod {pod.name} {'is ready' if pod.is_ready else 'is not ready'}"

    @cached_property
    def _plugins(self) -> Mapping[str, Pod] | None:
        """Return the plugin's pods by their nodes; `None` without a plugin, or if unreadable."""
        if self._reach.is_in_pod:  # a service account need not be allowed to list pods
            return None
        try:
            return self._installation.plugins()
        except DriverError:
            return None

    def _has_cloud(self) -> bool:
        try:
            return bool(self._reach.zones())
        except DriverError:
            return False

    def _of_instance(
        self,
        node: Node,
        limits: Mapping[str, int | None],
        has_cloud: bool,
        *,
        takes_volumes: bool,
    ) -> Iterator[Finding]:
        try:
            node_id = NodeObject(lambda: (node.provider_id, node.labels)).read()
        except HostError as error:
            yield wrong("nodes", f"{node.name}: {error}", "check that the cloud controller runs")
            return
        if not has_cloud:
            return
        if self._reach.driver_name in limits:
            yield from self._of_limit(node, node_id.zone, limits[self._reach.driver_name])
        zone = self._reach.cloud.zone(node_id.zone)
        try:
            instance = zone.get_instance(node_id.uuid, self._reach.deadline())
        except NotFound:
            self._gone.append((node, node_id))
            return
        except DriverError as error:
            yield not_checked("nodes", f"the instance of {node.name} could not be read: {error}")
            return
        self._has_instances = True
        try:
            size = self._size(zone, instance)
        except DriverError as error:
            yield not_checked("nodes", f"the size of {node.name} could not be read: {error}")
            return
        if takes_volumes and size in _TOO_SMALL:
            yield wrong(
                "nodes",
                f"{node.name} has size {size}, which takes no volumes",
                "use instances of size small or larger",
            )

    def _of_gone(self) -> Iterator[Finding]:
        """Yield what is wrong with the nodes whose instances the API does not know.

        If these are all, the key is rather that of another organisation, and no node must go.
        """
        if len(self._gone) > 1 and not self._has_instances:
            yield wrong(
                "nodes",
                f"the API knows none of the {len(self._gone)} instances of this cluster; the key "
                "is probably that of another organisation",
                "use a key of the organisation that the cluster is in",
            )
            return
        for node, node_id in self._gone:
            yield wrong(
                "nodes",
                f"{node.name} has no instance any more: zone {node_id.zone} has no {node_id.uuid}",
                "unless the key is that of another organisation: see docs/node-loss.md, then "
                f"kubectl delete node {node.name}",
            )

    def _of_limit(self, node: Node, zone: ZoneName, limit: int | None) -> Iterator[Finding]:
        allowed = self._attach_limit(zone)
        if allowed is not None and (limit is None or limit > allowed):
            yield wrong(
                "nodes",
                f"{node.name} promises {limit or 'any number of'} volumes, but the organisation "
                f"allows {allowed}",
                "lower --volume-attach-limit (chart: node.volumeAttachLimit)",
            )

    def _attach_limit(self, zone: ZoneName) -> int | None:
        """Return how many volumes an instance can attach, `None` if the quotas don't say."""
        if zone not in self._attach_limits:
            quotas = read_quotas(self._reach.cloud.zone(zone), self._reach.deadline())
            quota = quotas.get(ATTACHMENTS)
            self._attach_limits[zone] = quota.limit if quota else None
        return self._attach_limits[zone]

    def _size(self, zone: ZoneClient, instance: Instance) -> str:
        """Return the size of an instance, such as `small`; empty if the API names no type.

        Raises:
            DriverError: The API can't be read.
        """
        type_id = instance.type_id
        if type_id is None:
            return ""
        if type_id not in self._sizes:
            self._sizes[type_id] = zone.get_instance_size(type_id, self._reach.deadline())
        return self._sizes[type_id]
