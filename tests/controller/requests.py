"""The requests that the tests of the controller send, with what every valid one carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from csi_exoblock.pb import csi_pb2

GIB = 1024**3
TOPOLOGY_KEY = "topology.exoblock.csi.exoscale.com/zone"

Mode = csi_pb2.VolumeCapability.AccessMode


def capability(
    filesystem: str = "ext4", mode: Mode.Mode.ValueType = Mode.SINGLE_NODE_WRITER
) -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(fs_type=filesystem),
        access_mode=Mode(mode=mode),
    )


def create_volume(
    name: str,
    gib: float = 1,
    *,
    limit_gib: float = 0,
    snapshot_id: str = "",
    zones: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
) -> csi_pb2.CreateVolumeRequest:
    request = csi_pb2.CreateVolumeRequest(
        name=name,
        capacity_range=csi_pb2.CapacityRange(
            required_bytes=int(gib * GIB), limit_bytes=int(limit_gib * GIB)
        ),
        volume_capabilities=[capability()],
        parameters=parameters or {},
    )
    if snapshot_id:
        request.volume_content_source.snapshot.snapshot_id = snapshot_id
    if zones:
        request.accessibility_requirements.CopyFrom(topology(*zones))
    return request


def topology(*zones: str) -> csi_pb2.TopologyRequirement:
    """Require one of the zones and prefer them in the order given."""
    return csi_pb2.TopologyRequirement(
        requisite=[_term(zone) for zone in sorted(zones)],
        preferred=[_term(zone) for zone in zones],
    )


def _term(zone: str) -> csi_pb2.Topology:
    return csi_pb2.Topology(segments={TOPOLOGY_KEY: zone})


def delete_volume(volume_id: str) -> csi_pb2.DeleteVolumeRequest:
    return csi_pb2.DeleteVolumeRequest(volume_id=volume_id)


def publish(volume_id: str, node_id: str) -> csi_pb2.ControllerPublishVolumeRequest:
    return csi_pb2.ControllerPublishVolumeRequest(
        volume_id=volume_id, node_id=node_id, volume_capability=capability()
    )


def unpublish(volume_id: str, node_id: str = "") -> csi_pb2.ControllerUnpublishVolumeRequest:
    return csi_pb2.ControllerUnpublishVolumeRequest(volume_id=volume_id, node_id=node_id)


def expand(
    volume_id: str, gib: float, *, limit_gib: float = 0
) -> csi_pb2.ControllerExpandVolumeRequest:
    return csi_pb2.ControllerExpandVolumeRequest(
        volume_id=volume_id,
        capacity_range=csi_pb2.CapacityRange(
            required_bytes=int(gib * GIB), limit_bytes=int(limit_gib * GIB)
        ),
        volume_capability=capability(),
    )


def create_snapshot(
    name: str, volume_id: str, *, zones: Sequence[str] = ()
) -> csi_pb2.CreateSnapshotRequest:
    request = csi_pb2.CreateSnapshotRequest(name=name, source_volume_id=volume_id)
    if zones:
        request.accessibility_requirements.CopyFrom(topology(*zones))
    return request


def delete_snapshot(snapshot_id: str) -> csi_pb2.DeleteSnapshotRequest:
    return csi_pb2.DeleteSnapshotRequest(snapshot_id=snapshot_id)


def absent_id(zone: str) -> str:
    """Return an id of the right form under which nothing exists."""
    return f"{zone}/{uuid4()}"
