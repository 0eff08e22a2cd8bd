"""Build what the node service uses of its host: disks, mounts, commands and records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.config import NodeSettings, ServerSettings
from csi_exoblock.host.checking import Checker
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.disk_calls import DiskCalls
from csi_exoblock.host.filesystems import Filesystems
from csi_exoblock.host.formatting import Formatter
from csi_exoblock.host.growing import Grower
from csi_exoblock.host.history import History
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.jobs import Jobs
from csi_exoblock.host.liveness import Liveness
from csi_exoblock.host.loops import Loops
from csi_exoblock.host.mappings import Mappings
from csi_exoblock.host.markers import Markers
from csi_exoblock.host.mounts import Mounts
from csi_exoblock.host.notes import Notes, Repairs
from csi_exoblock.host.processes import Processes
from csi_exoblock.host.protections import Protections
from csi_exoblock.host.thawing import Thawing
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host of a node service, in its parts.

    Attributes:
        limit: Bounds the calls into file systems that have not returned (S26).
    """

    limit: CallLimit
    commands: Commands
    jobs: Jobs
    devices: Devices
    disk_calls: DiskCalls
    holders: Holders
    mounts: Mounts
    checker: Checker
    grower: Grower
    formatter: Formatter
    history: History
    liveness: Liveness
    thawing: Thawing
    write_back: WriteBack
    protections: Protections
    repairs: Repairs


def build_host(
    server: ServerSettings,
    settings: NodeSettings,
    metrics: Metrics,
    *,
    sysfs: Path = Path("/sys"),
) -> Host:
    """Build the host's parts, from commands and devices up; nothing on the host changes."""
    timing = server.timing
    records = settings.kubelet_path / "plugins" / server.driver_name
    commands = Commands(timing=timing, metrics=metrics, memory_limit=settings.memory_limit)
    jobs = Jobs(max_formats=settings.max_concurrent_format, timing=timing)
    devices = Devices(link_dir=settings.device_dir, timing=timing, metrics=metrics, sysfs=sysfs)
    disk_calls = DiskCalls(patience_seconds=timing.disk_answer)
    filesystems = Filesystems(commands=commands, disk_calls=disk_calls)
    checker = Checker(commands=commands, jobs=jobs, devices=devices, disk_calls=disk_calls)
    history = History(folder=records / "used", timing=timing)
    limit = CallLimit.for_each_disk()
    mappings = Mappings(
        patience_seconds=timing.memory_answer, later_seconds=timing.memory_answer_later
    )
    processes = Processes(mappings=mappings)
    holders = Holders(
        # Separate, because a search waits for no file system.
        workers=Workers(
            CallLimit.for_each_disk(), patience_seconds=timing.users_search, only_informs=False
        ),
        loops=Loops(
            workers=Workers(
                CallLimit(),
                patience_seconds=timing.memory_answer,
                only_informs=False,
                perhaps="the file that it shows hangs, so what it is made of can't be seen",
            ),
            sysfs=sysfs,
        ),
        processes=processes,
        sysfs=sysfs,
    )
    mounts = Mounts(
        commands=commands,
        workers=Workers(limit, patience_seconds=timing.command_timeout, only_informs=False),
        holders=holders,
        timing=timing,
    )
    return Host(
        limit=limit,
        commands=commands,
        jobs=jobs,
        devices=devices,
        disk_calls=disk_calls,
        holders=holders,
        mounts=mounts,
        checker=checker,
        grower=Grower(
            commands=commands, jobs=jobs, devices=devices, checker=checker, disk_calls=disk_calls
        ),
        formatter=Formatter(
            commands=commands,
            jobs=jobs,
            devices=devices,
            filesystems=filesystems,
            markers=Markers(folder=records / "formatting"),
            history=history,
            metrics=metrics,
            require_zeroed=settings.require_zeroed_device,
        ),
        history=history,
        liveness=Liveness(
            workers=Workers(limit, patience_seconds=timing.statfs_timeout, only_informs=False),
            sysfs=sysfs,
        ),
        thawing=Thawing(
            workers=Workers(limit, patience_seconds=timing.write_back, only_informs=False),
            processes=processes,
        ),
        write_back=WriteBack(
            workers=Workers(limit, patience_seconds=timing.write_back, only_informs=False),
            devices=devices,
        ),
        protections=Protections(
            notes=Notes(folder=records / "protected"),
            devices=devices,
            mounts=mounts,
            disk_calls=disk_calls,
        ),
        repairs=Repairs(notes=Notes(folder=records / "repairing")),
    )
