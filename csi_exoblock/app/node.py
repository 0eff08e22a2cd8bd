"""Build the node service."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from csi_exoblock.app.host import Host, build_host
from csi_exoblock.app.own_node import OwnNode
from csi_exoblock.app.part import Part, background
from csi_exoblock.concurrency import Holds
from csi_exoblock.config import KubernetesSettings, NodeSettings, ServerSettings
from csi_exoblock.csi.node import Node
from csi_exoblock.csi.registration import Registration
from csi_exoblock.host.filesystems import Twins
from csi_exoblock.host.instance import Identity as Instance
from csi_exoblock.host.instance import sources
from csi_exoblock.host.liveness import Liveness
from csi_exoblock.host.mounts import check_propagation
from csi_exoblock.host.workers import Workers
from csi_exoblock.metrics import Metrics, Tally
from csi_exoblock.node.attach_limit import AttachLimit
from csi_exoblock.node.expansion import Expansion
from csi_exoblock.node.frozen import Frozen
from csi_exoblock.node.health import Health
from csi_exoblock.node.health_cache import HealthCache
from csi_exoblock.node.mounting import VolumeMounter
from csi_exoblock.node.occupancy import Occupancy
from csi_exoblock.node.publishing import Publishing
from csi_exoblock.node.registered import Registered
from csi_exoblock.node.release import Release
from csi_exoblock.node.repair import Repair
from csi_exoblock.node.staging import Staging
from csi_exoblock.node.territory import Territory
from csi_exoblock.node.usage import Usage

log = logging.getLogger(__name__)


def build_node(
    server: ServerSettings,
    settings: NodeSettings,
    cluster: KubernetesSettings | None,
    metrics: Metrics,
) -> Part[Node]:
    """Build the node service, from the host up.

    Args:
        cluster: The cluster in whose pod it runs, `None` outside of one.

    Raises:
        WrongState: Kubelet would not see the driver's mounts (S15).
    """
    timing = server.timing
    own = OwnNode(cluster, driver_name=server.driver_name, timing=timing)
    instance = Instance(
        known=settings.identity,
        sources=sources(settings.metadata_sources, node_object=own.read, timing=timing),
        timing=timing,
    )
    host = build_host(server, settings, metrics)
    check_propagation(host.mounts, settings.kubelet_path)
    if os.geteuid() != 0:
        log.error("not root: nothing can be formatted or mounted here")
    occupancy = Occupancy(
        devices=host.devices, mounts=host.mounts, kubelet_path=settings.kubelet_path
    )
    attach_limit = AttachLimit(
        settings,
        occupancy=occupancy,
        handles=own.volumes if own.is_known else None,
        timing=timing,
    )
    metrics.show(metrics.attach_limit, attach_limit.limit)
    metrics.show(metrics.attached_volumes, occupancy.attached)
    metrics.show(metrics.free_slots, attach_limit.free)
    metrics.show(metrics.foreign_attachments, attach_limit.foreign)
    metrics.show(metrics.device_link_repaired)
    service = _service(host, instance, attach_limit, server, settings, metrics)
    registration = _registration(instance, server, settings)
    work = [background("identity", instance.ask, timing=timing, metrics=metrics)]
    if own.is_known:
        work.append(
            background("attach-limit", attach_limit.refresh, timing=timing, metrics=metrics)
        )
        registered = Registered(
            repeat=registration.repeat if registration else None,
            is_registered=own.is_registered,
            show=lambda value: metrics.show_value(metrics.registered, value),
            remove_taint=own.remove_taint if settings.taint_removal else None,
            timing=timing,
        )
        work.append(background("registered", registered.check, timing=timing, metrics=metrics))
    if registration is not None:
        work.append(
            background("registration", registration.register, timing=timing, metrics=metrics)
        )
    return Part(
        service=service,
        trouble=instance.trouble,
        background=work,
        end=registration.stop if registration else lambda: None,
        drain=host.jobs.drain,
    )


def _service(
    host: Host,
    instance: Instance,
    attach_limit: AttachLimit,
    server: ServerSettings,
    settings: NodeSettings,
    metrics: Metrics,
) -> Node:
    timing = server.timing
    holds = Holds()
    health_cache = HealthCache(unhealthy=Tally(metrics.unhealthy_volumes), timing=timing)
    metrics.update_by(health_cache.update_gauge)
    metrics.watch_holds(holds.oldest_seconds)
    territory = Territory(
        kubelet_path=settings.kubelet_path,
        devices=host.devices,
        mounts=host.mounts,
        disk_calls=host.disk_calls,
    )
    mounter = VolumeMounter(
        devices=host.devices,
        mounts=host.mounts,
        checker=host.checker,
        grower=host.grower,
        twins=Twins(),
        disk_calls=host.disk_calls,
    )
    frozen = Frozen(
        devices=host.devices,
        mounts=host.mounts,
        holders=host.holders,
        thawing=host.thawing,
        disk_calls=host.disk_calls,
        timing=timing,
    )
    release = Release(
        devices=host.devices,
        mounts=host.mounts,
        holders=host.holders,
        write_back=host.write_back,
        frozen=frozen,
        territory=territory,
        disk_calls=host.disk_calls,
        timing=timing,
    )
    repair = Repair(
        devices=host.devices,
        mounts=host.mounts,
        mounter=mounter,
        liveness=host.liveness,
        release=release,
        frozen=frozen,
        repairs=host.repairs,
    )
    return Node(
        staging=Staging(
            holds=holds,
            jobs=host.jobs,
            devices=host.devices,
            mounts=host.mounts,
            formatter=host.formatter,
            history=host.history,
            mounter=mounter,
            liveness=host.liveness,
            release=release,
            frozen=frozen,
            repair=repair,
            write_back=host.write_back,
            protections=host.protections,
            territory=territory,
        ),
        publishing=Publishing(
            holds=holds,
            jobs=host.jobs,
            devices=host.devices,
            mounts=host.mounts,
            repair=repair,
            release=release,
            formatter=host.formatter,
            history=host.history,
            write_back=host.write_back,
            protections=host.protections,
            territory=territory,
        ),
        expansion=Expansion(
            holds=holds, jobs=host.jobs, devices=host.devices, mounts=host.mounts, mounter=mounter
        ),
        usage=Usage(
            devices=host.devices,
            mounts=host.mounts,
            workers=Workers(host.limit, patience_seconds=timing.statfs_timeout, only_informs=True),
        ),
        health=Health(
            devices=host.devices,
            mounts=host.mounts,
            liveness=Liveness(
                workers=Workers(
                    host.limit, patience_seconds=timing.health_timeout, only_informs=True
                )
            ),
            grower=host.grower,
            write_back=host.write_back,
            cache=health_cache,
        ),
        identity=instance,
        attach_limit=attach_limit,
        topology_key=server.topology_key,
    )


def _registration(
    instance: Instance, server: ServerSettings, settings: NodeSettings
) -> Registration | None:
    """Return what registers the plugin with kubelet, `None` if a sidecar does."""
    if settings.registration_path is None:
        return None
    return Registration(
        driver_name=server.driver_name,
        path=settings.registration_path,
        csi_path=_host_path(server, settings),
        wait_until_known=instance.get,
        timing=server.timing,
    )


def _host_path(server: ServerSettings, settings: NodeSettings) -> Path:
    """Return the path of the CSI socket on the host, as kubelet sees it.

    A container sees kubelet's folder under the same path as the host, but its plugin folder can be
    mounted elsewhere, such as at `/csi`.
    """
    if server.socket_path.is_relative_to(settings.kubelet_path):
        return server.socket_path
    return settings.kubelet_path / "plugins" / server.driver_name / server.socket_path.name
