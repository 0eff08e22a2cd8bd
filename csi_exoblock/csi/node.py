"""The node service over gRPC: parse each request, call the domain, build the response."""

from __future__ import annotations

import grpc

from csi_exoblock.csi import node_requests
from csi_exoblock.csi.health import volume_health
from csi_exoblock.csi.interceptor import deadline_of
from csi_exoblock.errors import HostError, InvalidRequest, NotFound
from csi_exoblock.host.instance import Identity
from csi_exoblock.model import VolumeId
from csi_exoblock.node.attach_limit import AttachLimit
from csi_exoblock.node.expansion import Expansion
from csi_exoblock.node.health import Health
from csi_exoblock.node.publishing import Publishing
from csi_exoblock.node.staging import Staging
from csi_exoblock.node.usage import Usage, UsageRow
from csi_exoblock.pb import csi_pb2, csi_pb2_grpc

_RPC = csi_pb2.NodeServiceCapability.RPC

_CAPABILITIES = (
    _RPC.STAGE_UNSTAGE_VOLUME,
    _RPC.EXPAND_VOLUME,
    _RPC.GET_VOLUME_STATS,
    _RPC.GET_VOLUME_HEALTH,
    _RPC.SINGLE_NODE_MULTI_WRITER,
)

_UNITS = {"bytes": csi_pb2.VolumeUsage.BYTES, "inodes": csi_pb2.VolumeUsage.INODES}


class Node(csi_pb2_grpc.NodeServicer):
    """Volumes on this host.

    Args:
        attach_limit: How many volumes the orchestrator may attach here (S9).
        topology_key: The key of the zone in a topology segment (S12).
    """

    def __init__(
        self,
        *,
        staging: Staging,
        publishing: Publishing,
        expansion: Expansion,
        usage: Usage,
        health: Health,
        identity: Identity,
        attach_limit: AttachLimit,
        topology_key: str,
    ) -> None:
        self._staging = staging
        self._publishing = publishing
        self._expansion = expansion
        self._usage = usage
        self._health = health
        self._identity = identity
        self._attach_limit = attach_limit
        self._topology_key = topology_key

    def NodeStageVolume(
        self, request: csi_pb2.NodeStageVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeStageVolumeResponse:
        """Find the attached disk, format it if it is blank, and mount it."""
        try:
            wanted = node_requests.stage_volume(request)
            self._refuse_other_zone(wanted.volume_id)
        except (InvalidRequest, NotFound) as error:
            self._refuse_staged(request, error)
            raise
        self._staging.stage(
            wanted.volume_id,
            wanted.staging_path,
            wanted.access,
            wanted.context,
            deadline_of(context),
        )
        return csi_pb2.NodeStageVolumeResponse()

    def NodeUnstageVolume(
        self, request: csi_pb2.NodeUnstageVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeUnstageVolumeResponse:
        """Unmount the disk, and prove that nothing uses it any more."""
        wanted = node_requests.unstage_volume(request)
        self._staging.unstage(wanted.volume_id, wanted.path, deadline_of(context))
        return csi_pb2.NodeUnstageVolumeResponse()

    def NodePublishVolume(
        self, request: csi_pb2.NodePublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodePublishVolumeResponse:
        """Mount the staged volume at a workload's path."""
        wanted = node_requests.publish_volume(request)
        self._refuse_other_zone(wanted.volume_id)
        self._publishing.publish(
            wanted.volume_id,
            wanted.staging_path,
            wanted.target_path,
            wanted.access,
            wanted.context,
            wanted.read_only,
            deadline_of(context),
        )
        return csi_pb2.NodePublishVolumeResponse()

    def NodeUnpublishVolume(
        self, request: csi_pb2.NodeUnpublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeUnpublishVolumeResponse:
        """Unmount the volume from a workload's path, and remove the path."""
        wanted = node_requests.unpublish_volume(request)
        self._publishing.unpublish(wanted.volume_id, wanted.path, deadline_of(context))
        return csi_pb2.NodeUnpublishVolumeResponse()

    def NodeExpandVolume(
        self, request: csi_pb2.NodeExpandVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeExpandVolumeResponse:
        """Grow the file system to the size of its disk."""
        volume_id, path, size = node_requests.expand_volume(request)
        self._refuse_other_zone(volume_id)
        capacity_bytes = self._expansion.expand(volume_id, path, size, deadline_of(context))
        return csi_pb2.NodeExpandVolumeResponse(capacity_bytes=capacity_bytes)

    def NodeGetVolumeStats(
        self, request: csi_pb2.NodeGetVolumeStatsRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetVolumeStatsResponse:
        """Report the used and free space of the volume."""
        volume_id, path = node_requests.volume_stats(request)
        rows = self._usage.statistics(volume_id, path, deadline_of(context))
        return csi_pb2.NodeGetVolumeStatsResponse(usage=[_usage(row) for row in rows])

    def NodeGetVolumeHealth(
        self, request: csi_pb2.NodeGetVolumeHealthRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetVolumeHealthResponse:
        """Report the faults of the volume on this host."""
        volume_id, paths = node_requests.volume_health(request)
        ailments = self._health.ailments(volume_id, paths, deadline_of(context))
        return csi_pb2.NodeGetVolumeHealthResponse(volume_health=volume_health(volume_id, ailments))

    def NodeGetInfo(
        self, request: csi_pb2.NodeGetInfoRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetInfoResponse:
        """Return the instance's id, its zone, and how many volumes can be attached to it."""
        deadline = deadline_of(context)
        node_id = self._identity.get(deadline)
        return csi_pb2.NodeGetInfoResponse(
            node_id=str(node_id),
            max_volumes_per_node=self._attach_limit.get(deadline),
            accessible_topology=csi_pb2.Topology(segments={self._topology_key: node_id.zone}),
        )

    def NodeGetCapabilities(
        self, request: csi_pb2.NodeGetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetCapabilitiesResponse:
        """List the capabilities of this service."""
        return csi_pb2.NodeGetCapabilitiesResponse(
            capabilities=[
                csi_pb2.NodeServiceCapability(rpc=_RPC(type=each)) for each in _CAPABILITIES
            ]
        )

    def _refuse_staged(
        self, request: csi_pb2.NodeStageVolumeRequest, error: InvalidRequest | NotFound
    ) -> None:
        """Raise HostError if a request that can't succeed is about a staged volume (D5)."""
        place = node_requests.place_of_stage(request)
        if place is not None and place.volume_id is not None:
            self._staging.refuse_mounted(place.volume_id, place.path, error)

    def _refuse_other_zone(self, volume_id: VolumeId) -> None:
        """Raise NotFound for a volume that can't be here: its disk would be another volume's.

        The disk itself tells only the volume's UUID, while locks and notes are the whole id's. What
        is to leave leaves under any id.

        Raises:
            NotFound: The volume is in another zone than this node.
            HostError: The node doesn't know its zone yet.
        """
        zone = self._identity.zone()
        if zone is None:
            raise HostError(
                f"volume {volume_id}: this node doesn't know its zone yet, so the volume could be "
                "another zone's; the plugin's log says what each source of the zone answers"
            )
        if volume_id.zone != zone:
            raise NotFound(
                f"volume {volume_id}: this node is in zone {zone}, so the volume can't be attached "
                "here; correct the zone in the PV's volumeHandle"
            )


def _usage(row: UsageRow) -> csi_pb2.VolumeUsage:
    """Return one row of the usage; a value that a raw block device does not have is 0."""
    return csi_pb2.VolumeUsage(
        unit=_UNITS[row.unit], total=row.total, used=row.used or 0, available=row.available or 0
    )
