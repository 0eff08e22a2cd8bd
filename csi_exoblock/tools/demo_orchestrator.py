"""The part of Kubernetes in the demo: it makes the CSI calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from csi_exoblock.tools.demo_report import Report

_GIB = 1024**3
_CAPABILITY = csi_pb2.VolumeCapability(
    mount=csi_pb2.VolumeCapability.MountVolume(fs_type="ext4"),
    access_mode=csi_pb2.VolumeCapability.AccessMode(
        mode=csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_WRITER
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as the driver described it.

    Attributes:
        name: The name for people.
        context: The driver's own words to the node.
    """

    name: str
    id: str
    context: Mapping[str, str]


class Orchestrator:
    """Calls the driver over its socket; each call is a step of the report."""

    def __init__(self, channel: grpc.Channel, *, node_id: str, report: Report) -> None:
        self._controller = csi_pb2_grpc.ControllerStub(channel)
        self._node = csi_pb2_grpc.NodeStub(channel)
        self._node_id = node_id
        self._report = report
        self._publish_contexts: dict[str, Mapping[str, str]] = {}

    def create(self, name: str, gib: int, *, snapshot_id: str | None = None) -> Volume:
        """Create a volume, empty or from a snapshot."""
        request = csi_pb2.CreateVolumeRequest(
            name=name,
            capacity_range=csi_pb2.CapacityRange(required_bytes=gib * _GIB),
            volume_capabilities=[_CAPABILITY],
        )
        if snapshot_id:
            request.volume_content_source.snapshot.snapshot_id = snapshot_id
        what = "restore into" if snapshot_id else "create"
        with self._report.step(f"{what} '{name}', {gib} GiB", "CreateVolume"):
            volume = self._controller.CreateVolume(request).volume
        return Volume(name=name, id=volume.volume_id, context=dict(volume.volume_context))

    def delete(self, volume: Volume) -> None:
        """Delete a volume."""
        with self._report.step(f"delete '{volume.name}'", "DeleteVolume"):
            self._controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume.id))

    def expand(self, volume: Volume, gib: int) -> None:
        """Expand a detached volume."""
        request = csi_pb2.ControllerExpandVolumeRequest(
            volume_id=volume.id,
            capacity_range=csi_pb2.CapacityRange(required_bytes=gib * _GIB),
            volume_capability=_CAPABILITY,
        )
        with self._report.step(f"expand '{volume.name}' to {gib} GiB", "ControllerExpandVolume"):
            self._controller.ControllerExpandVolume(request)

    def snapshot(self, name: str, volume: Volume) -> str:
        """Take a snapshot of a volume and return its id."""
        request = csi_pb2.CreateSnapshotRequest(name=name, source_volume_id=volume.id)
        with self._report.step(f"take a snapshot of '{volume.name}'", "CreateSnapshot"):
            return self._controller.CreateSnapshot(request).snapshot.snapshot_id

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot."""
        with self._report.step("delete the snapshot", "DeleteSnapshot"):
            self._controller.DeleteSnapshot(csi_pb2.DeleteSnapshotRequest(snapshot_id=snapshot_id))

    def attach(self, volume: Volume) -> None:
        """Attach a volume to the node."""
        request = csi_pb2.ControllerPublishVolumeRequest(
            volume_id=volume.id,
            node_id=self._node_id,
            volume_capability=_CAPABILITY,
            volume_context=volume.context,
        )
        with self._report.step(f"attach '{volume.name}'", "ControllerPublishVolume"):
            answer = self._controller.ControllerPublishVolume(request)
        self._publish_contexts[volume.id] = dict(answer.publish_context)

    def detach(self, volume: Volume) -> None:
        """Detach a volume from the node."""
        request = csi_pb2.ControllerUnpublishVolumeRequest(
            volume_id=volume.id, node_id=self._node_id
        )
        with self._report.step(f"detach '{volume.name}'", "ControllerUnpublishVolume"):
            self._controller.ControllerUnpublishVolume(request)

    def stage(self, volume: Volume, staging_path: Path) -> None:
        """Mount the volume on the node; the driver makes or grows its file system if needed."""
        request = csi_pb2.NodeStageVolumeRequest(
            volume_id=volume.id,
            staging_target_path=str(staging_path),
            volume_capability=_CAPABILITY,
            publish_context=self._publish_contexts[volume.id],
            volume_context=volume.context,
        )
        with self._report.step(f"prepare and mount '{volume.name}'", "NodeStageVolume"):
            self._node.NodeStageVolume(request)

    def unstage(self, volume: Volume, staging_path: Path) -> None:
        """Unmount the volume from the node."""
        request = csi_pb2.NodeUnstageVolumeRequest(
            volume_id=volume.id, staging_target_path=str(staging_path)
        )
        with self._report.step(f"unmount '{volume.name}'", "NodeUnstageVolume"):
            self._node.NodeUnstageVolume(request)

    def publish(self, volume: Volume, staging_path: Path, target_path: Path) -> None:
        """Mount the volume into a pod."""
        request = csi_pb2.NodePublishVolumeRequest(
            volume_id=volume.id,
            staging_target_path=str(staging_path),
            target_path=str(target_path),
            volume_capability=_CAPABILITY,
            publish_context=self._publish_contexts[volume.id],
            volume_context=volume.context,
        )
        with self._report.step(f"give '{volume.name}' to a pod", "NodePublishVolume"):
            self._node.NodePublishVolume(request)

    def unpublish(self, volume: Volume, target_path: Path) -> None:
        """Unmount the volume from a pod."""
        request = csi_pb2.NodeUnpublishVolumeRequest(
            volume_id=volume.id, target_path=str(target_path)
        )
        with self._report.step(f"take '{volume.name}' from the pod", "NodeUnpublishVolume"):
            self._node.NodeUnpublishVolume(request)
