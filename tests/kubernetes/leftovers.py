"""After a flow: nothing of it is left in the cluster, in the cloud or on the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.kubernetes.cluster.api import VOLUME, VOLUME_ATTACHMENT, Api
from tests.kubernetes.cluster.claims import BoundVolume
from tests.kubernetes.cluster.cleaning import mounts_below
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import CLOUD, CSI_MOUNTS, KUBELET, STAGING
from tests.support.loop_devices import loop_devices_below

_BLOCK = CSI_MOUNTS / "volumeDevices"
_IN_USE = "was in use"


def pulled(cloud: Cloud) -> list[str]:
    """Return what the cloud says of volumes that were detached while something used them."""
    return [line for line in cloud.daemon.log.read_text().splitlines() if _IN_USE in line]


def assert_nothing_left(namespace: Namespace, cloud: Cloud, *, pulled_before: list[str]) -> None:
    """Wait until all that a namespace's claims brought about is gone.

    What belongs to a volume that still exists is left alone: it is another flow's.

    Args:
        pulled_before: What had been detached under a mount when the flow began.

    Raises:
        AssertionError: Something stays; the message lists it.
    """

    def remains() -> list[str]:
        return [*_of_namespace(namespace, cloud), *_of_nobody(namespace.cluster.api, cloud)]

    namespace.wait(lambda: not remains(), "nothing is left", explain=lambda: "\n".join(remains()))
    new = [line for line in pulled(cloud) if line not in pulled_before]
    assert not new, f"detached under a mount: {new}"


def _of_namespace(namespace: Namespace, cloud: Cloud) -> Iterator[str]:
    for volume in namespace.cluster.api.list(VOLUME):
        if volume.text("spec", "claimRef", "namespace") == namespace.name:
            yield f"persistent volume {volume.text('metadata', 'name')}"
    for found in cloud.volumes(namespace.name):
        yield f"volume {found.zone}/{found.uuid} ({found.state}) in the cloud"
    for snapshot in cloud.snapshots(namespace.name):
        yield f"snapshot {snapshot} in the cloud"


def _of_nobody(api: Api, cloud: Cloud) -> Iterator[str]:
    """Find what was made for a volume that is gone."""
    names = {volume.text("metadata", "name") for volume in api.list(VOLUME)}
    for attachment in api.list(VOLUME_ATTACHMENT):
        name = attachment.text("spec", "source", "persistentVolumeName")
        if name not in names:
            yield f"attachment of {name}"
    volumes = cloud.volumes()
    known = {BoundVolume("", f"{each.zone}/{each.uuid}").staging_folder for each in volumes}
    for point in mounts_below(STAGING):
        if known.isdisjoint(point.parents):
            yield f"mount {point}"
    for point in mounts_below(_BLOCK):
        if not names.intersection(point.parts):
            yield f"mount {point}"
    attached = {volume.device for volume in volumes}
    for device, disk in loop_devices_below(CLOUD).items():
        if device not in attached:
            yield f"device {device} of {disk}"
    for device, disk in loop_devices_below(KUBELET).items():
        if not names.intersection(Path(disk).parts):
            yield f"device {device} of {disk}"
