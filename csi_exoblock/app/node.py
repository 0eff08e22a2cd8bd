"""Build the node service."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from csi_exoblock.app.own_node import OwnNode
from csi_exoblock.app.part import Part, background
from csi_exoblock.background import Background
from csi_exoblock.concurrency import Holds
from csi_exoblock.config import KubernetesSettings, NodeSettings, ServerSettings
from csi_exoblock.csi.node import Node
from csi_exoblock.csi.registration import Registration
from csi_exoblock.host.checking import Checker
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.filesystems import Filesystems
from csi_exoblock.host.formatting import Formatter
from csi_exoblock.host.growing import Grower
from csi_exoblock.host.history import History
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.instance import Identity as Instance
from csi_exoblock.host.instance import sources
from csi_exoblock.host.jobs import Jobs
from csi_exoblock.host.liveness import Liveness as MountLiveness
from csi_exoblock.host.markers import Markers
from csi_exoblock.host.mounts import Mounts
from csi_exoblock.host.notes import Notes
from csi_exoblock.host.processes import Processes
from csi_exoblock.host.propagation import check_propagation
from csi_exoblock.host.protections import Protections
from csi_exoblock.host.repairs import Repairs
from csi_exoblock.host.thawing import Thawing
from csi_exoblock.host.twins import Twins
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.metrics import Metrics, Tally
from csi_exoblock.node.attach_limit import AttachLimit
from csi_exoblock.node.expansion import Expansion
from csi_exoblock.node.frozen import Frozen
from csi_exoblock.node.health import Health
from csi_exoblock.node.health_cache import HealthCache
from csi_exoblock.node.mounting import VolumeMounter
from csi_exoblock.node.occupancy import Occupancy
from csi_exoblock.node.publishing import Publishing
from csi_exoblock.node.release import Release
from csi_exoblock.node.repair import Repair
from csi_exoblock.node.staging import Staging
from csi_exoblock.node.startup_taint import StartupTaint
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
    plugin_path = settings.kubelet_path / "plugins" / server.driver_name
    own = OwnNode(cluster, driver_name=server.driver_name, timing=timing)
    commands = Commands(timing=timing, metrics=metrics)
    instance = Instance(
        known=settings.identity,
        sources=sources(settings.metadata_sources, node_object=own.read, timing=timing),
        timing=timing,
    )
    jobs = Jobs(max_formats=settings.max_concurrent_format, timing=timing)
    holds = Holds()
    devices = Devices(link_dir=settings.device_dir, timing=timing, metrics=metrics)
    disk_calls = DiskCalls(patience_seconds=timing.disk_answer)
    filesystems = Filesystems(commands=commands, disk_calls=disk_calls)
    limit = CallLimit()
    processes = Processes(
        # A separate limit: here a pod's process hangs, and often its disk is not the driver's.
        memory=Workers(
            CallLimit(),
            patience_seconds=timing.memory_answer,
            only_informs=False,
            perhaps="it hangs, perhaps on its disk, so what it uses can't be seen",
        )
    )
    holders = Holders(
        workers=Workers(limit, patience_seconds=timing.users_search, only_informs=False),
        loops=Workers(
            CallLimit(),
            patience_seconds=timing.memory_answer,
            only_informs=False,
            perhaps="the file that it shows hangs, so what it is made of can't be seen",
        ),
        processes=processes,
    )
    mounts = Mounts(commands=commands, holders=holders, timing=timing)
    check_propagation(mounts, settings.kubelet_path)
    if os.geteuid() != 0:
        log.error("not root: nothing can be formatted or mounted here")
    checker = Checker(commands=commands, jobs=jobs, devices=devices, disk_calls=disk_calls)
    grower = Grower(
        commands=commands, jobs=jobs, devices=devices, checker=checker, disk_calls=disk_calls
    )
    mounter = VolumeMounter(
        devices=devices,
        mounts=mounts,
        checker=checker,
        grower=grower,
        twins=Twins(),
        disk_calls=disk_calls,
    )
    liveness = MountLiveness(
        workers=Workers(limit, patience_seconds=timing.statfs_timeout, only_informs=False)
    )
    occupancy = Occupancy(devices=devices, mounts=mounts, kubelet_path=settings.kubelet_path)
    attach_limit = AttachLimit(
        settings,
        occupancy=occupancy,
        handles=own.volumes if own.is_known else None,
        timing=timing,
    )
    health_cache = HealthCache(unhealthy=Tally(metrics.unhealthy_volumes), timing=timing)
    metrics.update_by(health_cache.update_gauge)
    metrics.watch_holds(holds.oldest_seconds)
    metrics.show(metrics.attach_limit, attach_limit.limit)
    metrics.show(metrics.attached_volumes, occupancy.attached)
    metrics.show(metrics.foreign_attachments, attach_limit.foreign)
    metrics.show(metrics.device_link_repaired)
    write_back = WriteBack(
        workers=Workers(limit, patience_seconds=timing.write_back, only_informs=False),
        devices=devices,
    )
    territory = Territory(
        kubelet_path=settings.kubelet_path, devices=devices, mounts=mounts, disk_calls=disk_calls
    )
    frozen = Frozen(
        devices=devices,
        mounts=mounts,
        holders=holders,
        thawing=Thawing(
            workers=Workers(limit, patience_seconds=timing.write_back, only_informs=False),
            processes=processes,
        ),
        disk_calls=disk_calls,
        timing=timing,
    )
    release = Release(
        devices=devices,
        mounts=mounts,
        holders=holders,
        write_back=write_back,
        frozen=frozen,
        territory=territory,
        disk_calls=disk_calls,
        timing=timing,
    )
    history = History(folder=plugin_path / "used", timing=timing)
    repair = Repair(
        devices=devices,
        mounts=mounts,
        mounter=mounter,
        liveness=liveness,
        release=release,
        frozen=frozen,
        repairs=Repairs(notes=Notes(folder=plugin_path / "repairing")),
    )
    protections = Protections(
        notes=Notes(folder=plugin_path / "protected"),
        devices=devices,
        mounts=mounts,
        disk_calls=disk_calls,
    )
    service = Node(
        staging=Staging(
            holds=holds,
            jobs=jobs,
            devices=devices,
            mounts=mounts,
            filesystems=filesystems,
            formatter=Formatter(
                commands=commands,
                jobs=jobs,
                devices=devices,
                filesystems=filesystems,
                markers=Markers(folder=plugin_path / "formatting"),
                history=history,
                metrics=metrics,
                require_zeroed=settings.require_zeroed_device,
            ),
            history=history,
            mounter=mounter,
            liveness=liveness,
            release=release,
            frozen=frozen,
            repair=repair,
            write_back=write_back,
            protections=protections,
            territory=territory,
        ),
        publishing=Publishing(
            holds=holds,
            jobs=jobs,
            devices=devices,
            mounts=mounts,
            repair=repair,
            history=history,
            write_back=write_back,
            protections=protections,
            territory=territory,
        ),
        expansion=Expansion(
            holds=holds, jobs=jobs, devices=devices, mounts=mounts, mounter=mounter
        ),
        usage=Usage(
            devices=devices,
            mounts=mounts,
            workers=Workers(limit, patience_seconds=timing.statfs_timeout, only_informs=True),
        ),
        health=Health(
            devices=devices,
            mounts=mounts,
            liveness=MountLiveness(
                workers=Workers(limit, patience_seconds=timing.health_timeout, only_informs=True)
            ),
            grower=grower,
            write_back=write_back,
            cache=health_cache,
        ),
        identity=instance,
        attach_limit=attach_limit,
        topology_key=server.topology_key,
    )
    work = [background("identity", instance.ask, timing=timing, metrics=metrics)]
    if own.is_known:
        work.append(
            background("attach-limit", attach_limit.refresh, timing=timing, metrics=metrics)
        )
    if settings.taint_removal and own.is_known:
        taint = StartupTaint(
            is_registered=own.is_registered, remove=own.remove_taint, timing=timing
        )
        work.append(background("taint", taint.check, timing=timing, metrics=metrics))
    return _part(service, instance, jobs, server, settings, work, metrics)


def _part(
    service: Node,
    instance: Instance,
    jobs: Jobs,
    server: ServerSettings,
    settings: NodeSettings,
    work: list[Background],
    metrics: Metrics,
) -> Part[Node]:
    timing = server.timing
    if settings.registration_path is None:
        return Part(service=service, is_ready=instance.known, background=work, drain=jobs.drain)
    registration = Registration(
        driver_name=server.driver_name,
        path=settings.registration_path,
        csi_path=_host_path(server, settings),
        wait_until_known=instance.get,
        timing=timing,
    )

    return Part(
        service=service,
        is_ready=instance.known,
        background=[
            *work,
            background("registration", registration.register, timing=timing, metrics=metrics),
        ],
        end=registration.stop,
        drain=jobs.drain,
    )


def _host_path(server: ServerSettings, settings: NodeSettings) -> Path:
    """Return the path of the CSI socket on the host, as kubelet sees it.

    A container sees kubelet's folder under the same path as the host, but its plugin folder can be
    mounted elsewhere, such as at `/csi`.
    """
    if server.socket_path.is_relative_to(settings.kubelet_path):
        return server.socket_path
    return settings.kubelet_path / "plugins" / server.driver_name / server.socket_path.name
