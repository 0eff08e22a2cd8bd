"""What cloud and cluster say of this driver's volumes, read once, for `status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DriverError, NotFound
from csi_exoblock.kubernetes.inventory_objects import (
    AttachmentStatus,
    Claim,
    KnownNode,
    SnapshotStatus,
    StorageClass,
    VolumeStatus,
)
from csi_exoblock.model import Volume, ZoneName
from csi_exoblock.tools.reach import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a row of the table may need.

    Attributes:
        claims: By namespace and name.
        volumes: This driver's PersistentVolumes.
        attachments: This driver's, by the PersistentVolume's name.
        snapshots: Those of this driver that are not ready, by the volume's handle.
        classes: This driver's, by name.
        nodes: Names of Nodes by their instances' UUIDs.
        cloud: Volumes by their handles.
        pending_gib: Sizes to which volumes grow before their next attach, by handle.
        unread: Zones that could not be read, and why.
        now: The cloud's time, in seconds of Unix time.
    """

    claims: Mapping[tuple[str, str], Claim]
    volumes: tuple[VolumeStatus, ...]
    attachments: Mapping[str, tuple[AttachmentStatus, ...]]
    snapshots: Mapping[str, tuple[SnapshotStatus, ...]]
    classes: Mapping[str, StorageClass]
    nodes: Mapping[str, str]
    cloud: Mapping[str, Volume]
    pending_gib: Mapping[str, int]
    unread: Mapping[ZoneName, str]
    now: float


def gather(reach: Reach) -> Facts:
    """Read cloud and cluster.

    Raises:
        KubernetesError: The cluster can't be asked, or refuses it.
        ApiUnavailable: Nobody tells which zones there are.
    """
    deadline = Deadline(reach.timing.status_timeout)
    driver, cluster = reach.driver_name, reach.inventory()
    labels = reach.labels(deadline)
    cloud, unread = _cloud(reach, deadline)
    attachments: dict[str, tuple[AttachmentStatus, ...]] = {}
    for attachment in cluster.list_attachments(deadline):
        if attachment.driver_name == driver:
            others = attachments.get(attachment.volume_name, ())
            attachments[attachment.volume_name] = (*others, attachment)
    snapshots: dict[str, tuple[SnapshotStatus, ...]] = {}
    for snapshot in cluster.list_snapshots(deadline):
        if snapshot.driver_name == driver and not snapshot.is_ready:
            snapshots[snapshot.source] = (*snapshots.get(snapshot.source, ()), snapshot)
    pending = {handle: labels.pending_size(volume.labels) for handle, volume in cloud.items()}
    return Facts(
        claims={(each.namespace, each.name): each for each in cluster.list_claims(deadline)},
        volumes=tuple(
            each for each in cluster.list_volumes(deadline) if each.driver_name == driver
        ),
        attachments=attachments,
        snapshots=snapshots,
        classes={
            each.name: each for each in cluster.list_classes(deadline) if each.driver_name == driver
        },
        nodes={each.instance: each.name for each in cluster.list_nodes(deadline) if each.instance},
        cloud=cloud,
        pending_gib={
            handle: each.size_gib
            for handle, each in pending.items()
            if each and each.is_younger_than(reach.timing.pending_growth_ttl, reach.cloud.now())
        },
        unread=unread,
        now=reach.cloud.now(),
    )


def size_of_instance(reach: Reach, node: KnownNode, deadline: Deadline) -> str:
    """Return the size of a node's instance, such as `small`; empty where the API doesn't say.

    Raises:
        NotFound: The instance does not exist.
        DriverError: The API can't be asked.
    """
    zone = reach.cloud.zone(ZoneName(node.zone))
    try:
        instance = zone.get_instance(UUID(node.instance), deadline)
    except ValueError as error:
        raise NotFound(f"{node.instance[:100]!r} is no instance's id") from error
    return zone.get_instance_size(instance.type_id, deadline) if instance.type_id else ""


def _cloud(reach: Reach, deadline: Deadline) -> tuple[dict[str, Volume], dict[ZoneName, str]]:
    volumes: dict[str, Volume] = {}
    unread: dict[ZoneName, str] = {}
    for zone in reach.cloud.zones(deadline):
        try:
            for volume in reach.cloud.zone(zone).list_volumes(deadline):
                volumes[str(volume.id)] = volume
        except DriverError as error:
            unread[zone] = str(error)
    return volumes, unread
