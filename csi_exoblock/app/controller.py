"""Build the controller service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar
from uuid import UUID

from csi_exoblock.app.cloud import build_cloud
from csi_exoblock.app.known import known_to
from csi_exoblock.app.part import Part, background
from csi_exoblock.background import Background
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ApiSettings, ControllerSettings, KubernetesSettings, ServerSettings
from csi_exoblock.controller.adoption import Adoption
from csi_exoblock.controller.attachments import Attachments
from csi_exoblock.controller.clones import Clones
from csi_exoblock.controller.cluster import Cluster
from csi_exoblock.controller.detachments import Detachments, PendingDetaches
from csi_exoblock.controller.expansion import Expansion
from csi_exoblock.controller.growth_notes import GrowthNotes
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.listing import Listing
from csi_exoblock.controller.lookup import Lookup
from csi_exoblock.controller.metrics_collector import MetricsCollector, OrphanGauges
from csi_exoblock.controller.orphans import OrphanSearch
from csi_exoblock.controller.placement import Placement
from csi_exoblock.controller.quotas import Availability
from csi_exoblock.controller.readiness import Readiness
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.relabelling import LabelWriter, Modification
from csi_exoblock.controller.snapshot_creation import SnapshotCreation
from csi_exoblock.controller.snapshots import Snapshots
from csi_exoblock.controller.volume_creation import VolumeCreation
from csi_exoblock.controller.volume_deletion import VolumeDeletion
from csi_exoblock.controller.volumes import Volumes
from csi_exoblock.controller.zone_lists import ZoneLists
from csi_exoblock.csi.controller import Controller
from csi_exoblock.csi.controller_requests import ControllerRequests
from csi_exoblock.csi.parameters import Labelling
from csi_exoblock.csi.responses import ControllerResponses
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.exoscale.operations import OperationWaiter
from csi_exoblock.kubernetes.client import Kubernetes
from csi_exoblock.kubernetes.server import ApiServer
from csi_exoblock.metrics import Metrics
from csi_exoblock.model import Snapshot, Volume, ZoneName
from csi_exoblock.timing import Timing

T = TypeVar("T", bound=Volume | Snapshot)


def build_controller(
    server: ServerSettings,
    api: ApiSettings,
    settings: ControllerSettings,
    kubernetes: KubernetesSettings | None,
    metrics: Metrics,
) -> Part[Controller]:
    """Build the controller service, from the cloud's API up.

    Args:
        kubernetes: The cluster in whose pod it runs, `None` outside of one.
    """
    timing = server.timing
    cloud = build_cloud(api, timing=timing, metrics=metrics)
    waiter = OperationWaiter(cloud=cloud, timing=timing, metrics=metrics)
    ledger = Ledger(waiter=waiter, timing=timing)
    cluster = _cluster(settings, kubernetes, timing)
    labels = Labels(settings, cluster=cluster.id)
    reader = VolumeReader(cloud=cloud, ledger=ledger, timing=timing)
    writer = LabelWriter(cloud=cloud, ledger=ledger, reader=reader, timing=timing)
    recent_volumes, volume_lists, volume_lookup = _lookup(
        lambda zone, deadline: cloud.zone(zone).list_volumes(deadline),
        lambda zone, uuid, deadline: cloud.zone(zone).get_volume(uuid, deadline),
        labels=labels,
        timing=timing,
    )
    recent_snapshots, snapshot_lists, snapshot_lookup = _lookup(
        lambda zone, deadline: cloud.zone(zone).list_snapshots(deadline),
        lambda zone, uuid, deadline: cloud.zone(zone).get_snapshot(uuid, deadline),
        labels=labels,
        timing=timing,
    )
    snapshots = Snapshots(
        cloud=cloud,
        ledger=ledger,
        lookup=snapshot_lookup,
        recent=recent_snapshots,
        creation=SnapshotCreation(cloud=cloud, ledger=ledger, labels=labels, timing=timing),
        labels=labels,
        writer=writer,
        timing=timing,
    )
    clones = Clones(
        cloud=cloud,
        snapshots=snapshots,
        lists=snapshot_lists,
        volumes=recent_volumes,
        labels=labels,
        timing=timing,
    )
    volumes = Volumes(
        cloud=cloud,
        ledger=ledger,
        lookup=volume_lookup,
        recent=recent_volumes,
        placement=Placement(cloud=cloud, default_zone=api.default_zone),
        creation=VolumeCreation(
            cloud=cloud, ledger=ledger, labels=labels, settings=settings, timing=timing
        ),
        adoption=Adoption(cloud=cloud, ledger=ledger, reader=reader, labels=labels, writer=writer),
        clones=clones,
        labels=labels,
        timing=timing,
    )
    deletion = VolumeDeletion(
        cloud=cloud,
        ledger=ledger,
        recent=recent_volumes,
        clones=clones,
        reader=reader,
        labels=labels,
        timing=timing,
    )
    readiness = Readiness(
        cloud=cloud, volumes=volume_lists, snapshots=snapshot_lists, timing=timing
    )
    pending_detaches = PendingDetaches(timing=timing)
    metrics.watch_holds(ledger.oldest_hold_seconds)
    metrics.show(metrics.detach_pending_oldest, pending_detaches.oldest_seconds)
    expansion = Expansion(
        cloud=cloud,
        ledger=ledger,
        reader=reader,
        labels=labels,
        notes=GrowthNotes(cloud=cloud, labels=labels, writer=writer, timing=timing),
        settings=settings,
        timing=timing,
    )

    work = [
        background("readiness", readiness.ask, timing=timing, metrics=metrics),
        background(
            "sweeper",
            clones.sweep,
            timing=timing,
            metrics=metrics,
            first_seconds=timing.sweep_interval,  # another replica might have swept just now
        ),
        *_collectors(server, kubernetes, metrics, cloud=cloud, labels=labels),
    ]
    if not cluster.is_known():
        work.append(background("cluster", cluster.ask, timing=timing, metrics=metrics))
    service = Controller(
        volumes=volumes,
        deletion=deletion,
        attachments=Attachments(
            cloud=cloud,
            ledger=ledger,
            reader=reader,
            expansion=expansion,
            labels=labels,
            timing=timing,
        ),
        detachments=Detachments(
            cloud=cloud, ledger=ledger, reader=reader, pending=pending_detaches, timing=timing
        ),
        expansion=expansion,
        snapshots=snapshots,
        availability=Availability(
            cloud=cloud, default_zone=api.default_zone, size_limits=settings.size_limits
        ),
        modification=Modification(
            ledger=ledger, reader=reader, labels=labels, writer=writer, timing=timing
        ),
        listing=Listing(cloud=cloud, volumes=volume_lists, snapshots=snapshot_lists, timing=timing),
        requests=ControllerRequests(
            topology_key=server.topology_key,
            labelling=Labelling(reserved_prefix=settings.label_prefix, cluster=cluster.id),
            may_clone=settings.clone_by_snapshot,
        ),
        responses=ControllerResponses(topology_key=server.topology_key),
        may_clone=settings.clone_by_snapshot,
        knows_capacity=settings.capacity_from_quota,
    )
    return Part(
        service=service,
        trouble=lambda: cluster.trouble() or readiness.trouble(),
        background=work,
    )


def _collectors(
    server: ServerSettings,
    kubernetes: KubernetesSettings | None,
    metrics: Metrics,
    *,
    cloud: Cloud,
    labels: Labels,
) -> Iterator[Background]:
    """Yield the work that reads cloud and Kubernetes for metrics alone."""
    if not server.http_address:  # nobody reads these metrics
        return
    timing = server.timing
    collector = MetricsCollector(cloud=cloud, labels=labels, metrics=metrics, timing=timing)
    yield background("metrics", collector.collect, timing=timing, metrics=metrics)
    if kubernetes is None:
        return
    api_server = Kubernetes(ApiServer(kubernetes, timing=timing))
    known = known_to(api_server, driver_name=server.driver_name)
    gauges = OrphanGauges(
        OrphanSearch(cloud=cloud, labels=labels, known=known), metrics=metrics, timing=timing
    )
    yield background("orphans", lambda: gauges.collect(cloud.now()), timing=timing, metrics=metrics)


def _lookup(
    list_all: Callable[[ZoneName, Deadline], Listed[T]],
    get_one: Callable[[ZoneName, UUID, Deadline], T],
    *,
    labels: Labels,
    timing: Timing,
) -> tuple[RecentCreations, ZoneLists[T], Lookup[T]]:
    """Build the search for one kind of thing by name, and the memories that it shares."""
    recent = RecentCreations(timing=timing)
    lists = ZoneLists(list_all, recent=recent, labels=labels, timing=timing)
    return recent, lists, Lookup(lists, get_one, recent=recent, labels=labels, timing=timing)


def _cluster(
    settings: ControllerSettings, kubernetes: KubernetesSettings | None, timing: Timing
) -> Cluster:
    read = None
    if kubernetes is not None and settings.cluster_id is None:
        read = Kubernetes(ApiServer(kubernetes, timing=timing)).get_cluster_uid
    return Cluster(settings.cluster_id, read=read, timing=timing)
