"""The controller service over gRPC: parse each request, call the domain, build the response."""

from __future__ import annotations

import grpc
from google.protobuf.wrappers_pb2 import Int64Value

from csi_exoblock.controller.attachments import Attachments
from csi_exoblock.controller.detachments import Detachments
from csi_exoblock.controller.expansion import Expansion
from csi_exoblock.controller.listing import Listing
from csi_exoblock.controller.quotas import Availability
from csi_exoblock.controller.relabelling import Modification
from csi_exoblock.controller.snapshots import Snapshots
from csi_exoblock.controller.volume_deletion import VolumeDeletion
from csi_exoblock.controller.volumes import Volumes
from csi_exoblock.csi.controller_requests import ControllerRequests
from csi_exoblock.csi.interceptor import deadline_of
from csi_exoblock.csi.responses import ControllerResponses, confirmed, published
from csi_exoblock.csi.status import message_of
from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import BYTES_PER_GIB
from csi_exoblock.pb import csi_pb2, csi_pb2_grpc

_RPC = csi_pb2.ControllerServiceCapability.RPC

_ALWAYS = (
    _RPC.CREATE_DELETE_VOLUME,
    _RPC.PUBLISH_UNPUBLISH_VOLUME,
    _RPC.LIST_VOLUMES,
    _RPC.LIST_VOLUMES_PUBLISHED_NODES,
    _RPC.GET_VOLUME,
    _RPC.GET_VOLUME_HEALTH,
    _RPC.LIST_VOLUME_HEALTH,
    _RPC.CREATE_DELETE_SNAPSHOT,
    _RPC.LIST_SNAPSHOTS,
    _RPC.GET_SNAPSHOT,
    _RPC.EXPAND_VOLUME,
    _RPC.MODIFY_VOLUME,
    _RPC.SINGLE_NODE_MULTI_WRITER,
)


class Controller(csi_pb2_grpc.ControllerServicer):
    """Volumes and snapshots in the cloud."""

    def __init__(
        self,
        *,
        volumes: Volumes,
        deletion: VolumeDeletion,
        attachments: Attachments,
        detachments: Detachments,
        expansion: Expansion,
        snapshots: Snapshots,
        modification: Modification,
        availability: Availability,
        listing: Listing,
        requests: ControllerRequests,
        responses: ControllerResponses,
        may_clone: bool,
        knows_capacity: bool,
    ) -> None:
        self._capabilities = [
            *_ALWAYS,
            *([_RPC.CLONE_VOLUME] if may_clone else []),
            *([_RPC.GET_CAPACITY] if knows_capacity else []),
        ]
        self._volumes = volumes
        self._deletion = deletion
        self._attachments = attachments
        self._detachments = detachments
        self._expansion = expansion
        self._snapshots = snapshots
        self._modification = modification
        self._availability = availability
        self._listing = listing
        self._requests = requests
        self._responses = responses

    def CreateVolume(
        self, request: csi_pb2.CreateVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.CreateVolumeResponse:
        """Create a volume, or find the one that an earlier call of this name created."""
        with self._volumes.judging(request.name):
            wanted = self._requests.create_volume(request)
        volume = self._volumes.create(wanted.spec, deadline_of(context))
        return self._responses.created_volume(
            volume, context=wanted.context.to_mapping(), source=wanted.spec.source
        )

    def DeleteVolume(
        self, request: csi_pb2.DeleteVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.DeleteVolumeResponse:
        """Delete a volume that is not attached."""
        volume_id = self._requests.delete_volume(request)
        if volume_id is not None:
            self._deletion.delete(volume_id, deadline_of(context))
        return csi_pb2.DeleteVolumeResponse()

    def ControllerPublishVolume(
        self, request: csi_pb2.ControllerPublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerPublishVolumeResponse:
        """Attach a volume to a node."""
        volume_id, node_id = self._requests.publish_volume(request)
        age = self._attachments.attach(volume_id, node_id, deadline_of(context))
        return published(age)

    def ControllerUnpublishVolume(
        self, request: csi_pb2.ControllerUnpublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerUnpublishVolumeResponse:
        """Detach a volume from a node, or from any node if the request names none."""
        wanted = self._requests.unpublish_volume(request)
        if wanted is not None:
            self._detachments.detach(*wanted, deadline_of(context))
        return csi_pb2.ControllerUnpublishVolumeResponse()

    def ValidateVolumeCapabilities(
        self, request: csi_pb2.ValidateVolumeCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
        """Confirm that a volume supports the capabilities, or return why it does not."""
        volume_id = self._requests.validate_capabilities(request)
        self._listing.volume(volume_id, deadline_of(context))
        try:
            self._requests.require_supported(request)
        except InvalidRequest as error:
            return csi_pb2.ValidateVolumeCapabilitiesResponse(message=message_of(str(error)))
        return confirmed(request)

    def ListVolumes(
        self, request: csi_pb2.ListVolumesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ListVolumesResponse:
        """List one page of all volumes, each with the node it is attached to."""
        wanted = self._requests.list_volumes(request)
        page = self._listing.volumes(wanted.max_entries, wanted.token, deadline_of(context))
        return csi_pb2.ListVolumesResponse(
            entries=[self._responses.listed_volume(volume) for volume in page.entries],
            next_token=page.next_token,
        )

    def ControllerGetVolume(
        self, request: csi_pb2.ControllerGetVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerGetVolumeResponse:
        """Describe one volume and the node it is attached to."""
        volume_id = self._requests.get_volume(request)
        volume = self._listing.volume(volume_id, deadline_of(context))
        return self._responses.found_volume(volume)

    def ControllerGetVolumeHealth(
        self, request: csi_pb2.ControllerGetVolumeHealthRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerGetVolumeHealthResponse:
        """Report the faults of a volume in the cloud."""
        volume_id = self._requests.get_volume(request)
        volume = self._listing.volume(volume_id, deadline_of(context))
        return csi_pb2.ControllerGetVolumeHealthResponse(
            volume_health=self._responses.health(volume)
        )

    def ControllerListVolumeHealth(
        self, request: csi_pb2.ControllerListVolumeHealthRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerListVolumeHealthResponse:
        """Report the faults of one page of all volumes."""
        wanted = self._requests.list_volumes(request)
        page = self._listing.volumes(wanted.max_entries, wanted.token, deadline_of(context))
        return csi_pb2.ControllerListVolumeHealthResponse(
            entries=[self._responses.health(volume) for volume in page.entries],
            next_token=page.next_token,
        )

    def GetCapacity(
        self, request: csi_pb2.GetCapacityRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetCapacityResponse:
        """Report how much more the organisation's quota allows.

        The largest volume size is left out, because the scheduler would use it instead.
        """
        zone = self._requests.get_capacity(request)
        capacity = self._availability.capacity_in(zone, deadline_of(context))
        return csi_pb2.GetCapacityResponse(
            available_capacity=capacity.largest_gib * BYTES_PER_GIB,
            minimum_volume_size=Int64Value(value=capacity.smallest_gib * BYTES_PER_GIB),
        )

    def ControllerExpandVolume(
        self, request: csi_pb2.ControllerExpandVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerExpandVolumeResponse:
        """Make a volume larger; the node then grows its file system."""
        wanted = self._requests.expand_volume(request)
        size_gib = self._expansion.expand(wanted.volume_id, wanted.size, deadline_of(context))
        return csi_pb2.ControllerExpandVolumeResponse(
            capacity_bytes=size_gib * BYTES_PER_GIB, node_expansion_required=not wanted.is_block
        )

    def ControllerModifyVolume(
        self, request: csi_pb2.ControllerModifyVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerModifyVolumeResponse:
        """Change a volume's name and labels as its VolumeAttributesClass asks."""
        volume_id, changes = self._requests.modify_volume(request)
        self._modification.modify(volume_id, changes, deadline_of(context))
        return csi_pb2.ControllerModifyVolumeResponse()

    def CreateSnapshot(
        self, request: csi_pb2.CreateSnapshotRequest, context: grpc.ServicerContext
    ) -> csi_pb2.CreateSnapshotResponse:
        """Take a snapshot, or find the one that an earlier call of this name took."""
        with self._snapshots.judging(request.name):
            spec = self._requests.create_snapshot(request)
        snapshot = self._snapshots.create(spec, deadline_of(context))
        return csi_pb2.CreateSnapshotResponse(snapshot=self._responses.snapshot(snapshot))

    def DeleteSnapshot(
        self, request: csi_pb2.DeleteSnapshotRequest, context: grpc.ServicerContext
    ) -> csi_pb2.DeleteSnapshotResponse:
        """Delete a snapshot."""
        snapshot_id = self._requests.delete_snapshot(request)
        if snapshot_id is not None:
            self._snapshots.delete(snapshot_id, deadline_of(context))
        return csi_pb2.DeleteSnapshotResponse()

    def GetSnapshot(
        self, request: csi_pb2.GetSnapshotRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetSnapshotResponse:
        """Describe one snapshot."""
        snapshot_id = self._requests.get_snapshot(request)
        snapshot = self._snapshots.get(snapshot_id, deadline_of(context))
        return csi_pb2.GetSnapshotResponse(snapshot=self._responses.snapshot(snapshot))

    def ListSnapshots(
        self, request: csi_pb2.ListSnapshotsRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ListSnapshotsResponse:
        """List one page of snapshots: all of them, those of a volume, or the one with an id."""
        wanted = self._requests.list_snapshots(request)
        if wanted is None:
            return csi_pb2.ListSnapshotsResponse()
        page = self._listing.snapshots(
            wanted.max_entries,
            wanted.token,
            volume_id=wanted.volume_id,
            snapshot_id=wanted.snapshot_id,
            deadline=deadline_of(context),
        )
        return csi_pb2.ListSnapshotsResponse(
            entries=[
                csi_pb2.ListSnapshotsResponse.Entry(snapshot=self._responses.snapshot(snapshot))
                for snapshot in page.entries
            ],
            next_token=page.next_token,
        )

    def ControllerGetCapabilities(
        self, request: csi_pb2.ControllerGetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.ControllerGetCapabilitiesResponse:
        """List the capabilities of this service."""
        return csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[
                csi_pb2.ControllerServiceCapability(rpc=_RPC(type=each))
                for each in self._capabilities
            ]
        )
