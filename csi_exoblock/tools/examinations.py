"""What `doctor` examines: cloud and cluster, or a node; with the evidence for its archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from csi_exoblock.app.inspection import InspectedHost
from csi_exoblock.tools import bundle_cluster, bundle_node
from csi_exoblock.tools.bundle_archive import Archive
from csi_exoblock.tools.doctor import Check
from csi_exoblock.tools.doctor_cloud import CloudChecks
from csi_exoblock.tools.doctor_cluster import ClusterChecks
from csi_exoblock.tools.doctor_disks import DiskChecks
from csi_exoblock.tools.doctor_host import HostChecks
from csi_exoblock.tools.reach import Reach


@dataclass(frozen=True, slots=True)
class Examination:
    """The checks of a place.

    Attributes:
        collect: Collects evidence there.
        unseen: What the checks do not see, in words.
    """

    checks: tuple[Check, ...]
    collect: Callable[[Archive], None]
    unseen: str = ""


def of_cluster(reach: Reach) -> Examination:
    """Return the examination of cloud and cluster."""
    checks = (*CloudChecks(reach).all(), *ClusterChecks(reach).all())
    unseen = "of each host see `doctor --node` in its plugin's pod"
    return Examination(checks, partial(bundle_cluster.collect, reach), unseen)


def of_node(host: InspectedHost) -> Examination:
    """Return the examination of the host under the node plugin."""
    checks = (*HostChecks(host).all(), *DiskChecks(host).all())
    return Examination(checks, partial(bundle_node.collect, host))
