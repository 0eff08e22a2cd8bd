"""The API's JSON, read into the model; every name of an API field stands here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from csi_exoblock.errors import ApiUnavailable
from csi_exoblock.model import (
    FailureReason,
    Instance,
    InstanceState,
    NodeId,
    Operation,
    OperationState,
    Quota,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
    ZoneName,
)

T = TypeVar("T")


def read(parse: Callable[[ZoneName, Any], T], zone: ZoneName, body: Any) -> T:
    """Return what the parser makes of an answer.

    Raises:
        ApiUnavailable: The answer is not of the form that the API documents.
    """
    try:
        return parse(zone, body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ApiUnavailable(
            f"zone {zone}: an answer can't be understood: {type(error).__name__}: {error}"
        ) from error


def volume(zone: ZoneName, body: Any) -> Volume:
    """Read a `block-storage-volume`."""
    instance = body.get("instance")
    snapshots = body.get("block-storage-snapshots") or ()
    return Volume(
        id=VolumeId(zone, UUID(body["id"])),
        name=body.get("name", ""),
        size_gib=int(body["size"]),
        state=VolumeState(body["state"]),
        attached_to=NodeId(zone, UUID(instance["id"])) if instance else None,
        labels=dict(body.get("labels") or {}),
        snapshot_ids=tuple(SnapshotId(zone, UUID(each["id"])) for each in snapshots),
        created_at=datetime.fromisoformat(body["created-at"]),
    )


def volumes(zone: ZoneName, body: Any) -> tuple[Volume, ...]:
    """Read the answer of `list-block-storage-volumes`."""
    return tuple(volume(zone, each) for each in body["block-storage-volumes"])


def snapshot(zone: ZoneName, body: Any) -> Snapshot:
    """Read a `block-storage-snapshot`."""
    source = body.get("block-storage-volume")
    return Snapshot(
        id=SnapshotId(zone, UUID(body["id"])),
        name=body.get("name", ""),
        state=SnapshotState(body["state"]),
        volume_id=VolumeId(zone, UUID(source["id"])) if source else None,
        volume_size_gib=int(body["volume-size"]),
        labels=dict(body.get("labels") or {}),
        created_at=datetime.fromisoformat(body["created-at"]),
    )


def snapshots(zone: ZoneName, body: Any) -> tuple[Snapshot, ...]:
    """Read the answer of `list-block-storage-snapshots`."""
    return tuple(snapshot(zone, each) for each in body["block-storage-snapshots"])


def operation(zone: ZoneName, body: Any) -> Operation:
    """Read an `operation`."""
    reference = body.get("reference") or {}
    reason = body.get("reason")
    return Operation(
        id=UUID(body["id"]),
        zone=zone,
        state=OperationState(body["state"]),
        reference=UUID(reference["id"]) if reference.get("id") else None,
        reason=FailureReason(reason) if reason else None,
        message=body.get("message") or "",
    )


def instance(zone: ZoneName, body: Any) -> Instance:
    """Read an `instance`."""
    return Instance(id=NodeId(zone, UUID(body["id"])), state=InstanceState(body["state"]))


def quotas(_zone: ZoneName, body: Any) -> tuple[Quota, ...]:
    """Read the answer of `list-quotas`; a limit of -1 is none."""
    return tuple(
        Quota(
            resource=each["resource"],
            usage=int(each["usage"]),
            limit=None if int(each["limit"]) < 0 else int(each["limit"]),
        )
        for each in body["quotas"]
    )


def zones(_zone: ZoneName, body: Any) -> tuple[ZoneName, ...]:
    """Read the answer of `list-zones`."""
    return tuple(ZoneName(each["name"]) for each in body["zones"])


def creation(
    *, name: str, labels: Mapping[str, str], size_gib: int | None = None, source: UUID | None = None
) -> dict[str, object]:
    """Write the body of a create of a volume or a snapshot."""
    body: dict[str, object] = {"name": name, "labels": dict(labels)}
    if size_gib is not None:
        body["size"] = size_gib
    if source:
        body["block-storage-snapshot"] = {"id": str(source)}
    return body


def labelling(labels: Mapping[str, str]) -> dict[str, object]:
    """Write the body of an update: always the whole label map."""
    return {"labels": dict(labels)}


def attaching(instance_id: UUID) -> dict[str, object]:
    """Write the body of an attach."""
    return {"instance": {"id": str(instance_id)}}


def resizing(size_gib: int) -> dict[str, object]:
    """Write the body of a resize."""
    return {"size": size_gib}


def of_instance(instance_id: UUID) -> dict[str, str]:
    """Write the query that restricts a list of volumes to an instance."""
    return {"instance-id": str(instance_id)}
