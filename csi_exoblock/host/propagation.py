"""The propagation of mounts: at the start, ensure that pods will see the driver's mounts (S15)."""

from __future__ import annotations

import logging
from pathlib import Path

from csi_exoblock.errors import WrongState
from csi_exoblock.host.mounts import Mounts

log = logging.getLogger(__name__)


def check_propagation(mounts: Mounts, kubelet_path: Path) -> None:
    """Raise WrongState unless mounts below kubelet's folder can leave this mount namespace.

    A folder that a container got without propagation is a separate mount that isn't shared. The
    root file system can be unshared on a host too, which needs no propagation: that is only logged.

    Raises:
        WrongState: Pods would start on empty folders and write to the node's own disk.
    """
    mount = mounts.around(kubelet_path)
    if mount is not None and mount.shared:
        return
    if mount is not None and mount.target != Path("/"):
        raise WrongState(
            f"{kubelet_path}: mounts there stay inside this container, because {mount.target} "
            "is not shared; give the volume mount of kubelet's folder mountPropagation: "
            "Bidirectional, which needs a privileged container"
        )
    log.warning(
        "mounts are not propagated; that is right only outside of a container",
        extra={"path": str(kubelet_path)},
    )
