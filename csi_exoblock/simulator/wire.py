"""Write the cloud's values as the JSON that the API answers with.

Source: the schemas of the vendor's OpenAPI description.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from csi_exoblock.simulator.cloud import Cloud
from csi_exoblock.simulator.quotas import Resource, most_attached, used_gib
from csi_exoblock.simulator.resources import (
    Instance,
    Operation,
    OperationState,
    Reason,
    Snapshot,
    Volume,
)

Json = dict[str, Any]

_BLOCK_BYTES: Final = 4096


class Encoder:
    """Make the JSON of volumes and snapshots, once for each value."""

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[Volume | Snapshot, bytes] = WeakKeyDictionary()

    def one(self, resource: Volume | Snapshot) -> bytes:
        """Return the JSON object of a resource."""
        made = self._made.get(resource)
        if made is None:
            value = volume(resource) if isinstance(resource, Volume) else snapshot(resource)
            made = self._made[resource] = encode(value)
        return made

    def many(self, key: str, resources: Iterable[Volume | Snapshot]) -> bytes:
        """Return a JSON object that has the list of the resources under a key."""
        return b'{"%s":[%s]}' % (key.encode(), b",".join(map(self.one, resources)))


def encode(value: Json) -> bytes:
    """Return the bytes of a JSON object."""
    return json.dumps(value, separators=(",", ":")).encode()


def volume(volume: Volume) -> Json:
    """Return schema `block-storage-volume`."""
    body: Json = {
        "id": str(volume.id),
        "name": volume.name,
        "size": volume.size_gib,
        "state": volume.state,
        "blocksize": _BLOCK_BYTES,
        "labels": dict(volume.labels),
        "block-storage-snapshots": [{"id": str(id)} for id in volume.snapshots],
        "created-at": timestamp(volume.created_at),
    }
    if volume.instance:
        body["instance"] = {"id": str(volume.instance)}
    return body


def snapshot(snapshot: Snapshot) -> Json:
    """Return schema `block-storage-snapshot`."""
    return {
        "id": str(snapshot.id),
        "name": snapshot.name,
        "size": snapshot.size_gib,
        "volume-size": snapshot.volume_size_gib,
        "state": snapshot.state,
        "labels": dict(snapshot.labels),
        "block-storage-volume": {"id": str(snapshot.volume)},
        "created-at": timestamp(snapshot.created_at),
    }


def instance(instance: Instance) -> Json:
    """Return the part of schema `instance` that this cloud has."""
    return {
        "id": str(instance.id),
        "name": instance.name,
        "state": instance.state,
        "created-at": timestamp(instance.created_at),
    }


def operation(operation: Operation) -> Json:
    """Return schema `operation`."""
    noun = "block-storage-snapshot" if operation.kind.is_about_snapshot else "block-storage"
    command = (
        "block-storage-snapshot" if operation.kind.is_about_snapshot else "block-storage-volume"
    )
    body: Json = {"id": str(operation.id), "state": operation.state}
    if operation.ending.reference:
        body["reference"] = {
            "id": str(operation.target),
            "link": f"/v2/{noun}/{operation.target}",
            "command": f"get-{command}",
        }
    if operation.state in (OperationState.FAILURE, OperationState.TIMEOUT):
        body["reason"] = operation.ending.reason or Reason.UNKNOWN
        body["message"] = operation.ending.message or f"{operation.kind}: {body['reason']}"
    return body


def quota(cloud: Cloud, resource: str) -> Json:
    """Return schema `quota` of one resource."""
    return {
        "resource": resource,
        "usage": _usage(cloud, resource),
        "limit": cloud.quotas.limit(resource),
    }


def zones(names: Iterable[str], base_url: str) -> Json:
    """Return the zones, with endpoints under this very server."""
    return {"zones": [{"name": name, "api-endpoint": f"{base_url}/{name}/v2"} for name in names]}


def timestamp(seconds: float) -> str:
    """Return a time of the epoch as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _usage(cloud: Cloud, resource: str) -> int:
    match resource:
        case Resource.SIZE_GIB:
            return used_gib(cloud.all_volumes())
        case Resource.VOLUMES:
            return sum(1 for _ in cloud.all_volumes())
        case Resource.SNAPSHOTS:
            return cloud.count_snapshots()
        case Resource.ATTACHMENTS:
            return most_attached(cloud.all_volumes())
    return max((volume.size_gib for volume in cloud.all_volumes()), default=0)
