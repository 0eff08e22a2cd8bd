"""Make sure at start that what the driver mounts is seen where pods run (S15)."""

from __future__ import annotations

import logging
from pathlib import Path

from csi_exoblock.errors import WrongState
from csi_exoblock.host.mounts import Mounts

log = logging.getLogger(__name__)


def check_propagation(mounts: Mounts, kubelet_path: Path) -> None:
    """Return if mounts below kubelet's folder leave this mount namespace, as far as one can tell.

    A folder that a container got without propagation is a mount of its own that isn't shared. The
    root file system may be private on a host too, where nothing has to be propagated.

    Raises:
        WrongState: They don't: pods would start on empty folders and write to the node's own disk.
    """
    mount = mounts.around(kubelet_path)
    if mount is not None and mount.shared:
        return
    if mount is not None and mount.target != Path("/"):
        raise WrongState(
            f"{kubelet_path}: what is mounted there stays in this container, for {mount.target} "
            "is not shared; give the volume mount of kubelet's folder mountPropagation: "
            "Bidirectional, which needs a privileged container"
        )
    log.warning(
        "mounts are not propagated; that is right only if this is no container",
        extra={"path": str(kubelet_path)},
    )
