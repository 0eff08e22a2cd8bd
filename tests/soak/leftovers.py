"""After a run: nothing of it is left in the cloud, in the cluster or on the machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from tests.kubernetes.cluster.api import SNAPSHOT_CONTENT, VOLUME, VOLUME_ATTACHMENT, Api
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.places import STATE
from tests.soak.watch import volume_mounts
from tests.soak.workload import PATIENCE_SECONDS
from tests.support.loop_devices import loop_devices_below
from tests.support.waiting import eventually

_KINDS = (VOLUME, VOLUME_ATTACHMENT, SNAPSHOT_CONTENT)
_POLL_SECONDS = 1.0


def left_over(api: Api, cloud: Cloud) -> list[str]:
    """Return what is still there once all claims and snapshots were deleted, and time has passed.

    The cluster has no other user, so that anything at all is too much.
    """
    eventually(
        lambda: not list(_remains(api, cloud)),
        seconds=PATIENCE_SECONDS,
        pause_seconds=_POLL_SECONDS,
    )
    return [f"left over: {each}" for each in _remains(api, cloud)]


def _remains(api: Api, cloud: Cloud) -> Iterator[str]:
    yield from chain(
        (f"volume {each.zone}/{each.uuid} ({each.state}) in the cloud" for each in cloud.volumes()),
        (f"snapshot {each} in the cloud" for each in cloud.snapshots()),
        (
            f"{kind.name} {each.text('metadata', 'name')}"
            for kind in _KINDS
            for each in api.list(kind)
        ),
        (f"mount {each}" for each in volume_mounts()),
        (f"device {device} of {disk}" for device, disk in loop_devices_below(STATE).items()),
    )
