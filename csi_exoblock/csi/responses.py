"""Responses: turn the driver's own values into CSI messages."""

from __future__ import annotations

from collections.abc import Mapping

from csi_exoblock.controller.specs import CreatedVolume
from csi_exoblock.csi import fields
from csi_exoblock.csi.health import volume_health
from csi_exoblock.model import (
    BYTES_PER_GIB,
    Age,
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
    ZoneName,
)
from csi_exoblock.pb import csi_pb2


class ControllerResponses:
    """Builds the responses of the controller service.

    Args:
        topology_key: The key of the zone in a topology segment (S12).
    """

    def __init__(self, *, topology_key: str) -> None:
        self._topology_key = topology_key

    def created_volume(
        self,
        volume: CreatedVolume,
        *,
        context: Mapping[str, str],
        source: SnapshotId | VolumeId | None,
    ) -> csi_pb2.CreateVolumeResponse:
        """Describe a new volume; without the source the provisioner would delete it (C1)."""
        described = csi_pb2.Volume(
            volume_id=str(volume.id),
            capacity_bytes=volume.size_gib * BYTES_PER_GIB,
            volume_context=context,
            accessible_topology=[self._topology(volume.id.zone)],
        )
        if isinstance(source, VolumeId):
            described.content_source.volume.volume_id = str(source)
        elif source is not None:
            described.content_source.snapshot.snapshot_id = str(source)
        return csi_pb2.CreateVolumeResponse(volume=described)

    def listed_volume(self, volume: Volume) -> csi_pb2.ListVolumesResponse.Entry:
        """Describe a volume and the node it is attached to."""
        status = csi_pb2.ListVolumesResponse.VolumeStatus(published_node_ids=_nodes(volume))
        return csi_pb2.ListVolumesResponse.Entry(volume=self._volume(volume), status=status)

    def found_volume(self, volume: Volume) -> csi_pb2.ControllerGetVolumeResponse:
        """Describe the requested volume."""
        return csi_pb2.ControllerGetVolumeResponse(
            volume=self._volume(volume),
            status=csi_pb2.ControllerGetVolumeResponse.VolumeStatus(
                published_node_ids=_nodes(volume)
            ),
        )

    def snapshot(self, snapshot: Snapshot) -> csi_pb2.Snapshot:
        """Describe a snapshot; its size is the least size of a restore (S18)."""
        described = csi_pb2.Snapshot(
            snapshot_id=str(snapshot.id),
            source_volume_id=str(snapshot.volume_id or ""),
            size_bytes=snapshot.volume_size_gib * BYTES_PER_GIB,
            ready_to_use=snapshot.is_ready,
            accessible_topology=[self._topology(snapshot.id.zone)],
        )
        if snapshot.created_at:
            described.creation_time.FromDatetime(snapshot.created_at)
        return described

    def health(self, volume: Volume) -> csi_pb2.VolumeHealth:
        """Return the faults of a volume as a message; no entries mean that it has no fault (N7)."""
        return volume_health(volume.id, volume.ailments)

    def _volume(self, volume: Volume) -> csi_pb2.Volume:
        return csi_pb2.Volume(
            volume_id=str(volume.id),
            capacity_bytes=volume.size_gib * BYTES_PER_GIB,
            accessible_topology=[self._topology(volume.id.zone)],
        )

    def _topology(self, zone: ZoneName) -> csi_pb2.Topology:
        return csi_pb2.Topology(segments={self._topology_key: zone})


def confirmed(
    request: csi_pb2.ValidateVolumeCapabilitiesRequest,
) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
    """Confirm everything in the request."""
    return csi_pb2.ValidateVolumeCapabilitiesResponse(
        confirmed=csi_pb2.ValidateVolumeCapabilitiesResponse.Confirmed(
            volume_context=request.volume_context,
            volume_capabilities=request.volume_capabilities,
            parameters=request.parameters,
        )
    )


def published(age: Age | None) -> csi_pb2.ControllerPublishVolumeResponse:
    """Tell the node how old an attached volume is, if that is known (N19)."""
    if age is None:
        return csi_pb2.ControllerPublishVolumeResponse()
    return csi_pb2.ControllerPublishVolumeResponse(
        publish_context={
            fields.CREATED_AT: age.created_at.isoformat(),
            fields.ATTACHED_AT: age.attached_at.isoformat(),
        }
    )


def _nodes(volume: Volume) -> list[str]:
    return [str(volume.attached_to)] if volume.attached_to else []
