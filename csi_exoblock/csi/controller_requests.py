"""Requests to the controller service: parse them into specs, or refuse them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from csi_exoblock.capacity import CapacityRange
from csi_exoblock.controller.specs import SnapshotSpec, VolumeChanges, VolumeSpec
from csi_exoblock.csi import fields
from csi_exoblock.csi.capabilities import parse_access, parse_accesses, require_complete
from csi_exoblock.csi.parameters import (
    Labelling,
    SnapshotClass,
    StorageClass,
    volume_changes,
)
from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import BlockAccess, NodeId, SnapshotId, VolumeId, ZoneName
from csi_exoblock.options import VolumeContext
from csi_exoblock.pb import csi_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume:
    """A volume to create, and the volume context that the node will get."""

    spec: VolumeSpec
    context: VolumeContext


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandVolume:
    """A volume to expand; a raw block device needs no step on the node."""

    volume_id: VolumeId
    size: CapacityRange
    is_block: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListVolumes:
    """A requested page of volumes; 0 entries mean no limit."""

    max_entries: int
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSnapshots:
    """A requested page of snapshots; 0 entries mean no limit, `None` means no filter."""

    max_entries: int
    token: str
    volume_id: VolumeId | None
    snapshot_id: SnapshotId | None


class ControllerRequests:
    """Reads requests; every method raises `InvalidRequest` for a request that can never succeed.

    Args:
        topology_key: The only key of a topology segment that the driver reads (S12).
        labelling: The rules for names and labels in classes.
        may_clone: Whether a volume may be created from another volume (N6).
    """

    def __init__(self, *, topology_key: str, labelling: Labelling, may_clone: bool) -> None:
        self._topology_key = topology_key
        self._labelling = labelling
        self._may_clone = may_clone

    def create_volume(self, request: csi_pb2.CreateVolumeRequest) -> CreateVolume:
        """Read a request for a volume.

        Raises:
            NotFound: The id of the source snapshot or volume is no id.
        """
        fields.check(request, "name", "volume_capabilities")
        accesses = parse_accesses(request.volume_capabilities)
        has_source = request.HasField("volume_content_source")
        wishes = StorageClass.parse(request.parameters, self._labelling, restored=has_source)
        wishes.check(accesses)
        changes = volume_changes(
            request.mutable_parameters, self._labelling, about=request.parameters
        )
        labels = {**wishes.labels, **changes.labels}
        spec = VolumeSpec(
            name=request.name,
            visible_name=changes.visible_name or wishes.visible_name or request.name,
            size=fields.capacity_range(request.capacity_range),
            zones=self._zones(request.accessibility_requirements),
            zone_parameter=wishes.zone,
            source=self._source(request.volume_content_source) if has_source else None,
            labels={key: labels[key] for key in labels if key not in changes.removed},
            about=wishes.about,
        )
        return CreateVolume(spec=spec, context=wishes.context)

    def delete_volume(self, request: csi_pb2.DeleteVolumeRequest) -> VolumeId | None:
        """Read the id of the volume to delete; `None` if it is no id."""
        fields.check(request, "volume_id")
        return fields.id_or_none(VolumeId, request.volume_id)

    def publish_volume(
        self, request: csi_pb2.ControllerPublishVolumeRequest
    ) -> tuple[VolumeId, NodeId]:
        """Read the volume to attach and the node to attach it to.

        Raises:
            NotFound: One of the ids is no id.
        """
        fields.check(request, "volume_id", "node_id", "volume_capability")
        parse_access(request.volume_capability, "volume_capability")
        if request.readonly:
            raise InvalidRequest("readonly is not supported at attach; publish read-only instead")
        return VolumeId.parse(request.volume_id), NodeId.parse(request.node_id)

    def unpublish_volume(
        self, request: csi_pb2.ControllerUnpublishVolumeRequest
    ) -> tuple[VolumeId, NodeId | None] | None:
        """Read the volume to detach and its node, which is `None` for any node.

        Return `None` if one of the ids is no id, because then nothing can be attached (S2).
        """
        fields.check(request, "volume_id")
        volume_id = fields.id_or_none(VolumeId, request.volume_id)
        if volume_id is None:
            return None
        if not request.node_id:
            return volume_id, None
        node_id = fields.id_or_none(NodeId, request.node_id)
        return None if node_id is None else (volume_id, node_id)

    def validate_capabilities(self, request: csi_pb2.ValidateVolumeCapabilitiesRequest) -> VolumeId:
        """Read the id of the volume whose capabilities are asked for.

        Raises:
            NotFound: The id is no id.
        """
        fields.check(request, "volume_id", "volume_capabilities")
        for capability in request.volume_capabilities:
            require_complete(capability, "volume_capabilities")
        return VolumeId.parse(request.volume_id)

    def require_supported(self, request: csi_pb2.ValidateVolumeCapabilitiesRequest) -> None:
        """Raise InvalidRequest unless everything in the request would be accepted (F9)."""
        accesses = parse_accesses(request.volume_capabilities)
        wishes = StorageClass.parse(request.parameters, self._labelling, class_alone=True)
        wishes.check(accesses)
        VolumeContext.parse(request.volume_context)
        volume_changes(request.mutable_parameters, self._labelling, class_alone=True)

    def expand_volume(self, request: csi_pb2.ControllerExpandVolumeRequest) -> ExpandVolume:
        """Read the volume to expand and its new size.

        Raises:
            NotFound: The id is no id.
        """
        fields.check(request, "volume_id", "capacity_range")
        size = fields.capacity_range(request.capacity_range)
        if not size.required_bytes and not size.limit_bytes:
            raise InvalidRequest("capacity_range: required_bytes or limit_bytes is required")
        is_block = request.HasField("volume_capability") and isinstance(
            parse_access(request.volume_capability, "volume_capability"), BlockAccess
        )
        return ExpandVolume(
            volume_id=VolumeId.parse(request.volume_id), size=size, is_block=is_block
        )

    def modify_volume(
        self, request: csi_pb2.ControllerModifyVolumeRequest
    ) -> tuple[VolumeId, VolumeChanges]:
        """Read the volume to change and its new name and labels.

        Raises:
            NotFound: The id is no id.
        """
        fields.check(request, "volume_id", "mutable_parameters")
        changes = volume_changes(request.mutable_parameters, self._labelling)
        return VolumeId.parse(request.volume_id), changes

    def list_volumes(
        self, request: csi_pb2.ListVolumesRequest | csi_pb2.ControllerListVolumeHealthRequest
    ) -> ListVolumes:
        """Read the requested page."""
        return ListVolumes(
            max_entries=_max_entries(request.max_entries), token=request.starting_token
        )

    def get_volume(
        self, request: csi_pb2.ControllerGetVolumeRequest | csi_pb2.ControllerGetVolumeHealthRequest
    ) -> VolumeId:
        """Read the id of the requested volume.

        Raises:
            NotFound: The id is no id.
        """
        fields.check(request, "volume_id")
        return VolumeId.parse(request.volume_id)

    def create_snapshot(self, request: csi_pb2.CreateSnapshotRequest) -> SnapshotSpec:
        """Read a request for a snapshot.

        Raises:
            NotFound: The volume's id is no id.
        """
        fields.check(request, "source_volume_id", "name")
        wishes = SnapshotClass.parse(request.parameters, self._labelling)
        return SnapshotSpec(
            name=request.name,
            visible_name=wishes.visible_name or request.name,
            volume_id=VolumeId.parse(request.source_volume_id),
            zones=self._zones(request.accessibility_requirements),
            labels=wishes.labels,
            about=wishes.about,
        )

    def delete_snapshot(self, request: csi_pb2.DeleteSnapshotRequest) -> SnapshotId | None:
        """Read the id of the snapshot to delete; `None` if it is no id."""
        fields.check(request, "snapshot_id")
        return fields.id_or_none(SnapshotId, request.snapshot_id)

    def get_snapshot(self, request: csi_pb2.GetSnapshotRequest) -> SnapshotId:
        """Read the id of the requested snapshot.

        Raises:
            NotFound: The id is no id.
        """
        fields.check(request, "snapshot_id")
        return SnapshotId.parse(request.snapshot_id)

    def list_snapshots(self, request: csi_pb2.ListSnapshotsRequest) -> ListSnapshots | None:
        """Read the page and filters; `None` if a filter's id is no id, so nothing matches (S18)."""
        max_entries = _max_entries(request.max_entries)
        volume_id = fields.id_or_none(VolumeId, request.source_volume_id)
        snapshot_id = fields.id_or_none(SnapshotId, request.snapshot_id)
        if (request.source_volume_id and volume_id is None) or (
            request.snapshot_id and snapshot_id is None
        ):
            return None
        return ListSnapshots(
            max_entries=max_entries,
            token=request.starting_token,
            volume_id=volume_id,
            snapshot_id=snapshot_id,
        )

    def get_capacity(self, request: csi_pb2.GetCapacityRequest) -> ZoneName | None:
        """Read the zone whose capacity is asked for; `None` means the default zone."""
        fields.check(request)
        parse_accesses(request.volume_capabilities)
        StorageClass.parse(request.parameters, self._labelling, class_alone=True)
        zone = request.accessible_topology.segments.get(self._topology_key)
        return ZoneName(zone) if zone else None

    def _source(self, source: csi_pb2.VolumeContentSource) -> SnapshotId | VolumeId:
        kind = source.WhichOneof("type")
        if kind == "volume" and not self._may_clone:
            raise InvalidRequest("volume_content_source: cloning is off (--clone-by-snapshot)")
        if kind == "volume" and source.volume.volume_id:
            return VolumeId.parse(source.volume.volume_id)
        if kind == "snapshot" and source.snapshot.snapshot_id:
            return SnapshotId.parse(source.snapshot.snapshot_id)
        raise InvalidRequest("volume_content_source: snapshot_id or volume_id is required")

    def _zones(self, requirement: csi_pb2.TopologyRequirement) -> tuple[ZoneName, ...]:
        """Return the zones under the driver's topology key, the preferred ones first (S12)."""
        terms: Iterable[csi_pb2.Topology] = (*requirement.preferred, *requirement.requisite)
        named = [term.segments.get(self._topology_key) for term in terms]
        return tuple(dict.fromkeys(ZoneName(zone) for zone in named if zone))


def _max_entries(number: int) -> int:
    if number < 0:
        raise InvalidRequest(f"max_entries can't be negative, but is {number}")
    return number
