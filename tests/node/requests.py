"""The requests that the tests of the node send: those of a real kubelet, for other volumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from csi_exoblock.pb import csi_pb2
from tests.support.recorded import recorded

Mode = csi_pb2.VolumeCapability.AccessMode

USUAL_MODE = Mode.SINGLE_NODE_MULTI_WRITER
"""What ReadWriteOnce is."""

FORMAT: dict[str, str] = dict(recorded(csi_pb2.NodeStageVolumeRequest).volume_context)
"""The context of a volume that was made blank: it may be formatted."""


def mount_capability(
    filesystem: str = "ext4",
    *,
    flags: tuple[str, ...] = (),
    mode: Mode.Mode.ValueType = USUAL_MODE,
) -> csi_pb2.VolumeCapability:
    """Ask for a mounted file system."""
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(fs_type=filesystem, mount_flags=flags),
        access_mode=Mode(mode=mode),
    )


def block_capability(mode: Mode.Mode.ValueType = USUAL_MODE) -> csi_pb2.VolumeCapability:
    """Ask for a raw block device."""
    return csi_pb2.VolumeCapability(
        block=csi_pb2.VolumeCapability.BlockVolume(), access_mode=Mode(mode=mode)
    )


def stage(
    volume_id: str,
    staging: Path,
    capability: csi_pb2.VolumeCapability,
    *,
    context: Mapping[str, str] = FORMAT,
    publish_context: Mapping[str, str] | None = None,
) -> csi_pb2.NodeStageVolumeRequest:
    """Stage a volume.

    Args:
        publish_context: What the attach answered; as for a volume of some age unless given.
    """
    sent = recorded(csi_pb2.NodeStageVolumeRequest)
    return csi_pb2.NodeStageVolumeRequest(
        volume_id=volume_id,
        publish_context=sent.publish_context if publish_context is None else publish_context,
        staging_target_path=str(staging),
        volume_capability=capability,
        volume_context=context,
    )


def publish(
    volume_id: str,
    staging: Path,
    target: Path,
    capability: csi_pb2.VolumeCapability,
    *,
    context: Mapping[str, str] = FORMAT,
    publish_context: Mapping[str, str] | None = None,
    readonly: bool = False,
) -> csi_pb2.NodePublishVolumeRequest:
    """Show a staged volume to a pod.

    Args:
        publish_context: The same as at the stage.
    """
    sent = recorded(csi_pb2.NodePublishVolumeRequest)
    return csi_pb2.NodePublishVolumeRequest(
        volume_id=volume_id,
        publish_context=sent.publish_context if publish_context is None else publish_context,
        staging_target_path=str(staging),
        target_path=str(target),
        volume_capability=capability,
        readonly=readonly,
        volume_context=context,
    )


def unpublish(volume_id: str, target: Path) -> csi_pb2.NodeUnpublishVolumeRequest:
    """Take a volume from a pod."""
    return csi_pb2.NodeUnpublishVolumeRequest(volume_id=volume_id, target_path=str(target))


def unstage(volume_id: str, staging: Path) -> csi_pb2.NodeUnstageVolumeRequest:
    """Unstage a volume."""
    return csi_pb2.NodeUnstageVolumeRequest(volume_id=volume_id, staging_target_path=str(staging))


def expand(
    volume_id: str,
    path: Path,
    staging: Path,
    capability: csi_pb2.VolumeCapability,
    *,
    required: int,
    limit: int = 0,
) -> csi_pb2.NodeExpandVolumeRequest:
    """Expand what is on a volume.

    Args:
        path: Kubelet names where it is published.
        limit: Kubelet has none.
    """
    return csi_pb2.NodeExpandVolumeRequest(
        volume_id=volume_id,
        volume_path=str(path),
        capacity_range=csi_pb2.CapacityRange(required_bytes=required, limit_bytes=limit),
        staging_target_path=str(staging),
        volume_capability=capability,
    )


def stats(volume_id: str, path: Path) -> csi_pb2.NodeGetVolumeStatsRequest:
    """Ask how full a published volume is."""
    return csi_pb2.NodeGetVolumeStatsRequest(volume_id=volume_id, volume_path=str(path))


def health(
    volume_id: str, *, target: Path | None = None, staging: Path | None = None
) -> csi_pb2.NodeGetVolumeHealthRequest:
    """Ask how well a volume is.

    Args:
        target: Where it is published; kubelet does not say so for a raw device.
        staging: Where it is staged; for a raw device the folder in which kubelet binds it.
    """
    return csi_pb2.NodeGetVolumeHealthRequest(
        volume_id=volume_id,
        volume_publish_path=str(target or ""),
        staging_target_path=str(staging or ""),
    )
