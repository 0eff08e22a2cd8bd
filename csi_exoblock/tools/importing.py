"""`csi-exoblock import`: Kubernetes' objects for existing volumes and snapshots (F9).

The command prints them and changes nothing. The operator applies them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import NotFound
from csi_exoblock.model import Snapshot, SnapshotId, Volume, VolumeId
from csi_exoblock.tools.reach import Reach
from csi_exoblock.tools.static_volume import BLOCK, FILESYSTEM, Object, StaticVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How a volume is to appear in Kubernetes.

    Attributes:
        namespace: The claim's.
        name: The name of PersistentVolume and claim; empty for a name made from the id.
        filesystem: The file system on the volume; `block` for a raw device.
        partition: Number of the partition to mount, `None` for the whole disk.
    """

    namespace: str
    name: str
    filesystem: str
    partition: int | None


def objects_for(reach: Reach, id: str, target: Target) -> list[Object]:
    """Return PersistentVolume and claim for a volume, or content and snapshot for a snapshot.

    Raises:
        NotFound: Neither exists.
        DriverError: The API can't be read.
    """
    deadline = Deadline(reach.timing.api_timeout)
    volume_id = VolumeId.parse(id)
    zone = reach.cloud.zone(volume_id.zone)
    try:
        volume = zone.get_volume(volume_id.uuid, deadline)
    except NotFound:
        snapshot_id = SnapshotId.parse(id)
        try:
            snapshot = zone.get_snapshot(snapshot_id.uuid, deadline)
        except NotFound as error:
            raise NotFound(f"there is neither a volume nor a snapshot {id}") from error
        return _of_snapshot(snapshot, reach.driver_name, target)
    return _imported(volume, reach.driver_name, target).objects()


def as_text(objects: Sequence[Object]) -> str:
    """Return a list of the objects as JSON, for `kubectl apply --filename -`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=2)


def _imported(volume: Volume, driver_name: str, target: Target) -> StaticVolume:
    name = target.name or f"imported-{volume.id.uuid}"
    is_block = target.filesystem == "block"
    partition = {} if target.partition is None else {"partition": str(target.partition)}
    return StaticVolume(
        name=name,
        driver_name=driver_name,
        handle=str(volume.id),
        capacity=f"{volume.size_gib}Gi",
        filesystem="" if is_block else target.filesystem,
        volume_mode=BLOCK if is_block else FILESYSTEM,
        attributes={"format": "never", **partition},
        claim=(target.namespace, name),
    )


def _of_snapshot(snapshot: Snapshot, driver_name: str, target: Target) -> list[Object]:
    name = target.name or f"imported-{snapshot.id.uuid}"
    api = "snapshot.storage.k8s.io/v1"
    return [
        {
            "apiVersion": api,
            "kind": "VolumeSnapshotContent",
            "metadata": {"name": name},
            "spec": {
                "driver": driver_name,
                "deletionPolicy": "Retain",
                "source": {"snapshotHandle": str(snapshot.id)},
                "volumeSnapshotRef": {"namespace": target.namespace, "name": name},
            },
        },
        {
            "apiVersion": api,
            "kind": "VolumeSnapshot",
            "metadata": {"namespace": target.namespace, "name": name},
            "spec": {"source": {"volumeSnapshotContentName": name}},
        },
    ]
