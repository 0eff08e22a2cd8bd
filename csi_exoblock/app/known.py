"""The volumes and snapshots that Kubernetes knows, for the search for orphans (C4, C6)."""

from __future__ import annotations

from collections.abc import Callable

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.orphans import Known
from csi_exoblock.kubernetes.client import Kubernetes


def known_to(kubernetes: Kubernetes, *, driver_name: str) -> Callable[[Deadline], Known]:
    """Return a function that reads the handles of all PersistentVolumes and snapshot contents."""

    def read(deadline: Deadline) -> Known:
        volumes = [each for each in kubernetes.list_persistent_volumes(deadline) if each.handle]
        contents = kubernetes.list_snapshot_contents(deadline)
        return Known(
            volumes={each.handle: each.name for each in volumes if each.driver_name == driver_name},
            others=frozenset(each.handle for each in volumes if each.driver_name != driver_name),
            snapshots=frozenset(each.handle for each in contents if each.handle),
            awaited=frozenset(
                each.asked_as
                for each in contents
                if each.driver_name == driver_name and not each.handle
            ),
        )

    return read
