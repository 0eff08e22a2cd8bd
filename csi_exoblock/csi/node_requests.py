"""Requests to the node service: parse them into values, or refuse them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from csi_exoblock.capacity import CapacityRange
from csi_exoblock.csi import fields
from csi_exoblock.csi.capabilities import parse_access
from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import Access, Age, MountAccess, VolumeId
from csi_exoblock.options import VolumeContext
from csi_exoblock.pb import csi_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class StageVolume:
    """A volume to stage."""

    volume_id: VolumeId
    staging_path: Path
    access: Access
    context: VolumeContext


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishVolume:
    """A staged volume to publish to a workload."""

    volume_id: VolumeId
    staging_path: Path
    target_path: Path
    access: Access
    context: VolumeContext
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeAt:
    """A volume and its path; the id is `None` if the request's text is no id."""

    volume_id: VolumeId | None
    path: Path


def stage_volume(request: csi_pb2.NodeStageVolumeRequest) -> StageVolume:
    """Read the volume to stage; check its options a second time (F13).

    Raises:
        InvalidRequest: The request can never succeed.
        NotFound: The id is no id.
    """
    fields.check(request, "volume_id", "staging_target_path", "volume_capability")
    access = parse_access(request.volume_capability, "volume_capability")
    context = _context(request)
    if isinstance(access, MountAccess):
        context.options.check(access.filesystem)
    staging_path = fields.absolute_path("staging_target_path", request.staging_target_path)
    return StageVolume(
        volume_id=VolumeId.parse(request.volume_id),
        staging_path=staging_path,
        access=access,
        context=context,
    )


def unstage_volume(request: csi_pb2.NodeUnstageVolumeRequest) -> VolumeAt:
    """Read the volume to unstage.

    Raises:
        InvalidRequest: The request can never succeed.
    """
    fields.check(request, "volume_id", "staging_target_path")
    return VolumeAt(
        volume_id=fields.id_or_none(VolumeId, request.volume_id),
        path=fields.absolute_path("staging_target_path", request.staging_target_path),
    )


def place_of_stage(request: csi_pb2.NodeStageVolumeRequest) -> VolumeAt | None:
    """Read only volume and path of a wrong request; `None` if these are wrong too."""
    same = csi_pb2.NodeUnstageVolumeRequest(
        volume_id=request.volume_id, staging_target_path=request.staging_target_path
    )
    with suppress(InvalidRequest):
        return unstage_volume(same)
    return None


def publish_volume(request: csi_pb2.NodePublishVolumeRequest) -> PublishVolume:
    """Read the volume to publish and its paths.

    Raises:
        InvalidRequest: The request can never succeed.
        NotFound: The id is no id.
    """
    fields.check(request, "volume_id", "target_path", "volume_capability", "staging_target_path")
    staging_path = fields.absolute_path("staging_target_path", request.staging_target_path)
    target_path = fields.absolute_path("target_path", request.target_path)
    return PublishVolume(
        access=parse_access(request.volume_capability, "volume_capability"),
        volume_id=VolumeId.parse(request.volume_id),
        staging_path=staging_path,
        target_path=target_path,
        context=_context(request),
        read_only=request.readonly,
    )


def unpublish_volume(request: csi_pb2.NodeUnpublishVolumeRequest) -> VolumeAt:
    """Read the volume to unpublish and its path.

    Raises:
        InvalidRequest: The request can never succeed.
    """
    fields.check(request, "volume_id", "target_path")
    return VolumeAt(
        volume_id=fields.id_or_none(VolumeId, request.volume_id),
        path=fields.absolute_path("target_path", request.target_path),
    )


def volume_stats(request: csi_pb2.NodeGetVolumeStatsRequest) -> tuple[VolumeId, Path]:
    """Read the id and the path of the volume whose usage is asked for.

    Raises:
        InvalidRequest: A field is missing or too large.
        NotFound: The id is no id, or the path is relative.
    """
    fields.check(request, "volume_id", "volume_path")
    return VolumeId.parse(request.volume_id), fields.volume_path(request.volume_path)


def volume_health(
    request: csi_pb2.NodeGetVolumeHealthRequest,
) -> tuple[VolumeId, tuple[Path, ...]]:
    """Read the id of the volume whose health is asked for, and those of its paths that are given.

    Raises:
        InvalidRequest: A field is missing or too large.
        NotFound: The id is no id, or a path is relative.
    """
    fields.check(request, "volume_id")
    paths = (request.volume_publish_path, request.staging_target_path)
    return VolumeId.parse(request.volume_id), tuple(
        fields.volume_path(path) for path in paths if path
    )


def expand_volume(
    request: csi_pb2.NodeExpandVolumeRequest,
) -> tuple[VolumeId, Path, CapacityRange]:
    """Read the volume to grow, its path, and the size that its disk must have by now.

    Raises:
        InvalidRequest: A field is missing, too large or contradictory, or the capability is not
            supported.
        NotFound: The id is no id, or the path is relative.
    """
    fields.check(request, "volume_id", "volume_path")
    size = fields.capacity_range(request.capacity_range)
    if request.HasField("volume_capability"):
        parse_access(request.volume_capability, "volume_capability")
    return VolumeId.parse(request.volume_id), fields.volume_path(request.volume_path), size


def _context(
    request: csi_pb2.NodeStageVolumeRequest | csi_pb2.NodePublishVolumeRequest,
) -> VolumeContext:
    """Read the volume context, and the volume's age from the publish context.

    Nothing requires the publish context (S15): a time that can't be read counts as absent.
    """
    context = VolumeContext.parse(request.volume_context)
    created_at, attached_at = (
        _time(request.publish_context.get(each, ""))
        for each in (fields.CREATED_AT, fields.ATTACHED_AT)
    )
    if created_at is None or attached_at is None:
        return context
    return replace(context, age=Age(created_at=created_at, attached_at=attached_at))


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None
