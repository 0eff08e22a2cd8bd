"""The requests that the tests of the controller send: those of real sidecars, for other volumes.

What only the specification allows, such as a detach from no node in particular, is said by the
test that sends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from csi_exoblock.pb import csi_pb2
from tests.support.recorded import recorded

GIB = 1024**3
TOPOLOGY_KEY = "topology.exoblock.csi.exoscale.com/zone"

Mode = csi_pb2.VolumeCapability.AccessMode

_PERSISTENT_VOLUME = "csi.storage.k8s.io/pv/name"
_USUAL_MODE = Mode.SINGLE_NODE_MULTI_WRITER  # what ReadWriteOnce is


def capability(
    filesystem: str = "ext4", mode: Mode.Mode.ValueType = _USUAL_MODE
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
    zones: Sequence[str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> csi_pb2.CreateVolumeRequest:
    """Ask for a volume.

    Args:
        zones: Where its pod may run, the first one preferred; the simulator's first zone unless
            given. None at all is what a class with immediate binding and no node brings about.
        parameters: Those of the class; the claim's names come to them.
    """
    request = recorded(csi_pb2.CreateVolumeRequest)
    request.name = name
    request.parameters[_PERSISTENT_VOLUME] = name
    request.parameters.update(parameters or {})
    _set_capacity(request.capacity_range, gib, limit_gib)
    if snapshot_id:
        request.volume_content_source.snapshot.snapshot_id = snapshot_id
    if zones is not None:
        request.accessibility_requirements.CopyFrom(topology(*zones))
    return request


def topology(*zones: str) -> csi_pb2.TopologyRequirement:
    """Require one of the zones and prefer them in the order given."""
    return csi_pb2.TopologyRequirement(
        requisite=[_term(zone) for zone in sorted(zones)],
        preferred=[_term(zone) for zone in zones],
    )


def delete_volume(volume_id: str) -> csi_pb2.DeleteVolumeRequest:
    return csi_pb2.DeleteVolumeRequest(volume_id=volume_id)


def publish(volume_id: str, node_id: str) -> csi_pb2.ControllerPublishVolumeRequest:
    request = recorded(csi_pb2.ControllerPublishVolumeRequest)
    request.volume_id, request.node_id = volume_id, node_id
    return request


def unpublish(volume_id: str, node_id: str) -> csi_pb2.ControllerUnpublishVolumeRequest:
    return csi_pb2.ControllerUnpublishVolumeRequest(volume_id=volume_id, node_id=node_id)


def expand(
    volume_id: str, gib: float, *, limit_gib: float = 0
) -> csi_pb2.ControllerExpandVolumeRequest:
    request = recorded(csi_pb2.ControllerExpandVolumeRequest)
    request.volume_id = volume_id
    _set_capacity(request.capacity_range, gib, limit_gib)
    return request


def modify(volume_id: str, **parameters: str) -> csi_pb2.ControllerModifyVolumeRequest:
    """Change a volume as the parameters of a VolumeAttributesClass say."""
    request = recorded(csi_pb2.ControllerModifyVolumeRequest, "labelled")
    for name in ("name", "labelSpecification_1"):  # of the class that was recorded
        del request.mutable_parameters[name]
    request.volume_id = volume_id
    request.mutable_parameters.update(parameters)
    return request


def create_snapshot(
    name: str, volume_id: str, *, zones: Sequence[str] = ()
) -> csi_pb2.CreateSnapshotRequest:
    """Ask for a snapshot.

    Args:
        zones: No sidecar says where a snapshot is to be; the specification allows it.
    """
    request = recorded(csi_pb2.CreateSnapshotRequest)
    request.name, request.source_volume_id = name, volume_id
    if zones:
        request.accessibility_requirements.CopyFrom(topology(*zones))
    return request


def delete_snapshot(snapshot_id: str) -> csi_pb2.DeleteSnapshotRequest:
    return csi_pb2.DeleteSnapshotRequest(snapshot_id=snapshot_id)


def absent_id(zone: str) -> str:
    """Return an id of the right form under which nothing exists."""
    return f"{zone}/{uuid4()}"


def _set_capacity(range: csi_pb2.CapacityRange, gib: float, limit_gib: float) -> None:
    range.required_bytes, range.limit_bytes = int(gib * GIB), int(limit_gib * GIB)


def _term(zone: str) -> csi_pb2.Topology:
    return csi_pb2.Topology(segments={TOPOLOGY_KEY: zone})
