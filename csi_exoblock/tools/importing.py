"""`csi-exoblock import`: Kubernetes' objects for existing volumes and snapshots (F9).

The command prints them and changes nothing. The operator applies them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import InvalidRequest, NotFound
from csi_exoblock.kubernetes.storage import PersistentVolume
from csi_exoblock.model import BYTES_PER_GIB, Snapshot, SnapshotId, Volume, VolumeId
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


def steps_from(reach: Reach, driver_name: str) -> str:
    """Return a script that moves every PersistentVolume of another driver to this one.

    Both drivers must use the same ids. The operator reads the script first. It deletes no volume:
    it sets each PersistentVolume to `Retain`, and checks that, before it deletes the object.

    Raises:
        KubernetesError: The cluster can't be read, or denies it.
        InvalidRequest: The other driver is this one.
    """
    if driver_name == reach.driver_name:
        raise InvalidRequest(f"--from-driver {driver_name} is this driver itself")
    deadline = reach.deadline()
    volumes = [
        each
        for each in reach.kubernetes().list_persistent_volumes(deadline)
        if each.driver_name == driver_name
    ]
    lines = [line for volume in volumes for line in _steps_of(volume, reach.driver_name)]
    head = [
        "#!/bin/sh",
        f"# Moves {len(volumes)} PersistentVolumes from {driver_name} to {reach.driver_name}.",
        "# Read it first. Stop the pods that use them, and wait for their VolumeAttachments to go.",
        "set -eu",
    ]
    return "\n".join([*head, *lines, ""])


def _steps_of(volume: PersistentVolume, driver_name: str) -> Iterator[str]:
    name, claim = shlex.quote(volume.name), "/".join(volume.claim or ()) or "none"
    yield ""
    yield f"# {name}: volume {json.dumps(volume.handle)}, claim {claim}"
    try:
        VolumeId.parse(volume.handle)
    except NotFound:
        yield "# Not moved: its handle is not <zone>/<id>. Create its PersistentVolume by hand."
        return
    retain = json.dumps({"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    yield f"kubectl patch persistentvolume {name} --patch '{retain}'"
    yield (
        f'test "$(kubectl get persistentvolume {name} '
        "--output jsonpath='{.spec.persistentVolumeReclaimPolicy}')\" = Retain"
    )
    attached = '{range .items[*]}{.spec.source.persistentVolumeName}{"\\n"}{end}'
    yield f"attached=$(kubectl get volumeattachment --output jsonpath='{attached}')"
    yield f"if printf '%s\\n' \"$attached\" | grep -Fqx {name}; then"
    yield f"  echo {name} is still attached >&2; exit 1"
    yield "fi"
    if volume.claim:
        namespace, claim = map(shlex.quote, volume.claim)
        where = f"persistentvolumeclaim --namespace {namespace} {claim}"
        yield f"kubectl get {where} --output json >claim-{namespace}-{claim}.json"
        yield f"kubectl delete {where}"
    yield f"kubectl delete persistentvolume {name}"
    yield "kubectl apply --filename - <<'END'"
    yield as_text(_moved(volume, driver_name).objects())
    yield "END"
    if volume.is_deleted_with_claim:
        back = json.dumps({"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
        yield "# Once the pods run again:"
        yield f"# kubectl patch persistentvolume {name} --patch '{back}'"


def _moved(volume: PersistentVolume, driver_name: str) -> StaticVolume:
    return StaticVolume(
        name=volume.name,
        driver_name=driver_name,
        handle=volume.handle,
        size_bytes=volume.capacity_bytes,
        filesystem=volume.filesystem,
        volume_mode=volume.volume_mode,
        class_name=volume.class_name,
        access_modes=volume.access_modes,
        claim=volume.claim,
    )


def _imported(volume: Volume, driver_name: str, target: Target) -> StaticVolume:
    name = target.name or f"imported-{volume.id.uuid}"
    is_block = target.filesystem == "block"
    partition = {} if target.partition is None else {"partition": str(target.partition)}
    return StaticVolume(
        name=name,
        driver_name=driver_name,
        handle=str(volume.id),
        size_bytes=volume.size_gib * BYTES_PER_GIB,
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
