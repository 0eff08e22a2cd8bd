"""The state of this driver's volumes in cloud and cluster, read once for `status`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DriverError, NotFound
from csi_exoblock.kubernetes.access import Right
from csi_exoblock.kubernetes.inventory import Inventory
from csi_exoblock.kubernetes.storage import (
    Claim,
    PersistentVolume,
    SnapshotContent,
    StorageClass,
    VolumeAttachment,
)
from csi_exoblock.model import Volume, VolumeId, ZoneName
from csi_exoblock.tools.installation import Installation
from csi_exoblock.tools.reach import Reach

T = TypeVar("T")

_CORE = ("nodes", "persistentvolumes", "persistentvolumeclaims")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a row of the table can need, of this driver only.

    Attributes:
        claims: By namespace and name; those of other drivers too.
        attachments: By the PersistentVolume's name.
        snapshots: Those that are not ready, by the volume's handle.
        classes: By name.
        nodes: Names of Nodes by their instances' UUIDs.
        cloud: Volumes by their handles.
        missing: Handles of PersistentVolumes whose volumes don't exist.
        pending_gib: Sizes to which volumes grow before their next attach, by handle.
        unread: Zones that could not be read, with the error.
        now: The cloud's time, in seconds of Unix time.
    """

    claims: Mapping[tuple[str, str], Claim]
    volumes: tuple[PersistentVolume, ...]
    attachments: Mapping[str, tuple[VolumeAttachment, ...]]
    snapshots: Mapping[str, tuple[SnapshotContent, ...]]
    classes: Mapping[str, StorageClass]
    nodes: Mapping[str, str]
    cloud: Mapping[str, Volume]
    missing: frozenset[str]
    pending_gib: Mapping[str, int]
    unread: Mapping[ZoneName, str]
    now: float


def needs(reach: Reach) -> tuple[Right, ...]:
    """Return the rights in Kubernetes that `gather` needs."""
    storage = ("volumeattachments", "storageclasses", "csinodes")
    return (
        *(Right(verb="list", group="storage.k8s.io", resource=each) for each in storage),
        *(Right(verb="list", resource=each) for each in _CORE),
        Right(verb="list", group="snapshot.storage.k8s.io", resource="volumesnapshotcontents"),
        *reach.label_needs,
    )


def gather(reach: Reach) -> Facts:
    """Read cloud and cluster.

    Raises:
        KubernetesError: The cluster can't be read, or denies it.
        ApiUnavailable: The zones can't be listed.
    """
    deadline = reach.deadline()
    driver, kubernetes, inventory = reach.driver_name, reach.kubernetes(), reach.inventory()
    labels = Installation(reach).labels(deadline)
    cloud = _Volumes(reach, deadline)
    volumes = tuple(
        each for each in kubernetes.list_persistent_volumes(deadline) if each.driver_name == driver
    )
    cloud.look_for((each.handle for each in volumes), deadline)
    deadline = reach.deadline()  # each volume that no list shows has taken a request
    pending = {handle: labels.pending_size(each.labels) for handle, each in cloud.found.items()}
    now = reach.cloud.now()
    return Facts(
        claims={(each.namespace, each.name): each for each in inventory.list_claims(deadline)},
        volumes=volumes,
        attachments=_grouped(
            (
                each
                for each in kubernetes.list_volume_attachments(deadline)
                if each.driver_name == driver
            ),
            by=lambda each: each.volume_name,
        ),
        snapshots=_grouped(
            (
                each
                for each in kubernetes.list_snapshot_contents(deadline)
                if each.driver_name == driver and not each.is_ready
            ),
            by=lambda each: each.source,
        ),
        classes={
            each.name: each
            for each in inventory.list_classes(deadline)
            if each.driver_name == driver
        },
        nodes=_nodes(inventory, driver, deadline),
        cloud=cloud.found,
        missing=frozenset(cloud.missing),
        pending_gib={
            handle: each.size_gib
            for handle, each in pending.items()
            if each and each.is_younger_than(reach.timing.pending_growth_ttl, now)
        },
        unread=cloud.unread,
        now=now,
    )


def _nodes(inventory: Inventory, driver: str, deadline: Deadline) -> Mapping[str, str]:
    """Return the names of the nodes by their instances.

    The cloud controller names an instance, but not every cluster has one; kubelet knows what the
    driver itself has found out.
    """
    named = {each.instance: each.name for each in inventory.list_nodes(deadline) if each.instance}
    registered = (
        (each.ids.get(driver, ""), each.name) for each in inventory.list_csi_nodes(deadline)
    )
    return {id.partition("/")[2]: name for id, name in registered if id} | named


def _grouped(found: Iterable[T], by: Callable[[T], str]) -> Mapping[str, tuple[T, ...]]:
    groups: dict[str, tuple[T, ...]] = {}
    for each in found:
        groups[by(each)] = (*groups.get(by(each), ()), each)
    return groups


class _Volumes:
    """The volumes of all zones in scope.

    Attributes:
        found: By their handles.
        missing: Handles that were looked for, and whose volumes don't exist.
        unread: Zones in which a volume can exist that was not found, with the error.
    """

    def __init__(self, reach: Reach, deadline: Deadline) -> None:
        self._cloud = reach.cloud
        self._zones = reach.zones()
        self.found: dict[str, Volume] = {}
        self.missing: set[str] = set()
        self.unread: dict[ZoneName, str] = {}
        for zone in self._zones:
            try:
                for volume in self._cloud.zone(zone).list_volumes(deadline):
                    self.found[str(volume.id)] = volume
            except DriverError as error:
                self.unread[zone] = str(error)

    def look_for(self, handles: Iterable[str], deadline: Deadline) -> None:
        """Ask for each volume that no list showed; it can have been created since."""
        for handle in handles:
            try:
                self._look_for(handle, deadline)
            except NotFound:
                self.missing.add(handle)

    def _look_for(self, handle: str, deadline: Deadline) -> None:
        volume = VolumeId.parse(handle)
        if handle in self.found or volume.zone in self.unread or volume.zone not in self._zones:
            return
        try:
            self.found[handle] = self._cloud.zone(volume.zone).get_volume(volume.uuid, deadline)
        except NotFound:
            raise
        except DriverError as error:
            self.unread[volume.zone] = str(error)
