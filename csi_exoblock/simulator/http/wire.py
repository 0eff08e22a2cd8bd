"""Write the cloud's values as the JSON that the API answers with.

Source: the schemas of the vendor's OpenAPI description.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from weakref import WeakKeyDictionary

from csi_exoblock.simulator.state import instance_types
from csi_exoblock.simulator.state.cloud import Cloud
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.quotas import Resource, most_attached, used_gib
from csi_exoblock.simulator.state.resources import (
    Instance,
    Operation,
    OperationState,
    Reason,
    Snapshot,
    Volume,
)

Json = dict[str, Any]

_BLOCK_BYTES: Final = 4096
_STORED_GIB: Final = 1  # a cloud can store only the changed blocks, which are fewer


# The `instance` of a detached volume, by mode.
_NO_INSTANCE: Final[Mapping[str, Json]] = {
    "null": {"instance": None},
    "absent": {},
    "empty": {"instance": {}},
    "empty-id": {"instance": {"id": ""}},
}


class Encoder:
    """Make the JSON of volumes and snapshots, once for each value and each set of modes."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._modes: Json = {}
        self._made: WeakKeyDictionary[Volume | Snapshot, bytes] = WeakKeyDictionary()

    def one(self, resource: Volume | Snapshot) -> bytes:
        """Return the JSON object of a resource."""
        return self.many([resource])

    def listed(self, key: str, resources: Iterable[Volume | Snapshot]) -> bytes:
        """Return a JSON object that has the list of the resources under a key."""
        return b'{"%s":[%s]}' % (key.encode(), self.many(resources))

    def many(self, resources: Iterable[Volume | Snapshot]) -> bytes:
        """Return the JSON objects of resources with commas between them."""
        if self._modes != (modes := self._cloud.modes.as_json()):
            self._made.clear()
            self._modes = modes
        return b",".join(map(self._once, resources))

    def _once(self, resource: Volume | Snapshot) -> bytes:
        made = self._made.get(resource)
        if made is None:
            made = self._made[resource] = encode(self._as_json(resource))
        return made

    def _as_json(self, resource: Volume | Snapshot) -> Json:
        modes = self._cloud.modes
        if isinstance(resource, Snapshot):
            stored = modes.has(Question.SNAPSHOT_SIZE, "stored")
            return {**snapshot(resource), **({"size": _STORED_GIB} if stored else {})}
        return {**_NO_INSTANCE[modes.answer(Question.DETACHED_INSTANCE)], **volume(resource)}


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
        "encrypted": True,
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
        "size": snapshot.volume_size_gib,
        "volume-size": snapshot.volume_size_gib,
        "state": snapshot.state,
        "labels": dict(snapshot.labels),
        "block-storage-volume": {"id": str(snapshot.volume)},
        "created-at": timestamp(snapshot.created_at),
    }


def instance(instance: Instance) -> Json:
    """Return the fields of schema `instance` that this cloud has."""
    return {
        "id": str(instance.id),
        "name": instance.name,
        "state": instance.state,
        "instance-type": {"id": str(instance_types.id_of(instance.size))},
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
        if operation.ending.message:  # a failed operation can have a reason without a message
            body["message"] = operation.ending.message
    return body


def error(status: int, message: str) -> Json:
    """Return the body of a refusal."""
    errors = {"errors": [{"message": message}]} if status == HTTPStatus.BAD_REQUEST else {}
    return {"message": message, **errors}


def problem(status: int, message: str) -> Json:
    """Return the body of a refusal as RFC 9457 has it."""
    return {"title": HTTPStatus(status).phrase, "status": status, "detail": message}


def quota(cloud: Cloud, resource: str) -> Json:
    """Return schema `quota` of one resource."""
    return {
        "resource": resource,
        "usage": _usage(cloud, resource),
        "limit": cloud.quotas.limit(resource),
    }


def zones(names: Iterable[str], base_url: str) -> Json:
    """Return the zones, with endpoints on this server."""
    return {"zones": [{"name": name, "api-endpoint": f"{base_url}/{name}/v2"} for name in names]}


def timestamp(seconds: float) -> str:
    """Return a time of the epoch as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _usage(cloud: Cloud, resource: str) -> int:
    gone = cloud.deleted_lately()
    gone_volumes = [each for each in gone if isinstance(each, Volume)]
    volumes = [*cloud.all_volumes(), *gone_volumes]
    match resource:
        case Resource.SIZE_GIB:
            return used_gib(volumes)
        case Resource.VOLUMES:
            return len(volumes)
        case Resource.SNAPSHOTS:
            return cloud.count_snapshots() + len(gone) - len(gone_volumes)
        case Resource.ATTACHMENTS:
            return most_attached(cloud.all_volumes())
    return max((volume.size_gib for volume in cloud.all_volumes()), default=0)
