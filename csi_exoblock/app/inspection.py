"""Build the parts of the node service that read this host, for a command that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from csi_exoblock.app.host import build_host
from csi_exoblock.app.own_node import OwnNode
from csi_exoblock.config import KubernetesSettings, NodeSettings, ServerSettings
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.instance import Source, sources
from csi_exoblock.host.liveness import Liveness
from csi_exoblock.host.mounts import Mounts
from csi_exoblock.metrics import Metrics
from csi_exoblock.node.occupancy import Occupancy
from csi_exoblock.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedHost:
    """The readers of this host.

    Attributes:
        sources: The sources of the instance's id and zone, in the order in which they are asked.
        node: The Node of this host in Kubernetes.
    """

    settings: NodeSettings
    timing: Timing
    sources: Mapping[str, Source]
    node: OwnNode
    commands: Commands
    devices: Devices
    mounts: Mounts
    liveness: Liveness
    holders: Holders
    occupancy: Occupancy

    def disks(self) -> tuple[Mapping[str, str], tuple[tuple[str, BlockDevice], ...]]:
        """Return the disks that don't report their serial, and those of volumes.

        The former come as names with the serial of their link, if they have one; the latter with
        their serial. A process that has just started knows no serial yet, so this asks every disk
        and waits.
        """
        return self.devices.silent(), self.devices.volumes()


def inspected_host(
    settings: NodeSettings,
    cluster: KubernetesSettings | None,
    *,
    driver_name: str,
    timing: Timing,
    sysfs: Path = Path("/sys"),
) -> InspectedHost:
    """Return the readers of this host.

    Args:
        cluster: The cluster in whose pod this runs, `None` outside of one.
    """
    server = ServerSettings(driver_name=driver_name, timing=timing)
    host = build_host(server, settings, Metrics(CollectorRegistry()), sysfs=sysfs)
    node = OwnNode(cluster, driver_name=driver_name, timing=timing)
    return InspectedHost(
        settings=settings,
        timing=timing,
        sources=sources(settings.metadata_sources, node_object=node.read, timing=timing),
        node=node,
        commands=host.commands,
        devices=host.devices,
        mounts=host.mounts,
        liveness=host.liveness,
        holders=host.holders,
        occupancy=Occupancy(
            devices=host.devices, mounts=host.mounts, kubelet_path=settings.kubelet_path
        ),
    )
