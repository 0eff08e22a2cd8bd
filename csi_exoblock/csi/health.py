"""Volume health as a CSI message, for the controller and the node (N7)."""

from __future__ import annotations

from csi_exoblock.escaping import printable
from csi_exoblock.model import Ailment, VolumeId
from csi_exoblock.pb import csi_pb2

# Source: Kubernetes 1.37, validation of a pod's volumeHealth.
_MESSAGE_CHARACTERS = 1024


def volume_health(volume_id: VolumeId, ailments: tuple[Ailment, ...]) -> csi_pb2.VolumeHealth:
    """Return the faults of a volume as a message; no entries mean that it has no fault.

    A text is cut to the length that kubelet accepts; it would refuse the pod's whole status.
    """
    return csi_pb2.VolumeHealth(
        volume_id=str(volume_id),
        health_statuses=[
            csi_pb2.VolumeHealth.VolumeHealthEntry(
                status=csi_pb2.VolumeHealthErrorType.Value(each.status),
                reason=each.reason,
                message=printable(each.message)[:_MESSAGE_CHARACTERS],
            )
            for each in ailments
        ],
    )
