"""Volume health as proto, the same from the cloud's side and from the node's (N7)."""

from __future__ import annotations

from csi_exoblock.escaping import printable
from csi_exoblock.model import Ailment, VolumeId
from csi_exoblock.pb import csi_pb2

# Source: Kubernetes 1.37, validation of a pod's volumeHealth.
_MESSAGE_CHARACTERS = 1024


def volume_health(volume_id: VolumeId, ailments: tuple[Ailment, ...]) -> csi_pb2.VolumeHealth:
    """Describe what is wrong with a volume: no entries mean that nothing is.

    A message is cut where kubelet would refuse the whole status of the pod.
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
