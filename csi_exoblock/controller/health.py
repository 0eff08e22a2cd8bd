"""What the cloud says of a volume's health (N7); the node knows the rest."""

from __future__ import annotations

from csi_exoblock.model import Ailment, Volume
from csi_exoblock.states import VolumeState


def ailments_of(volume: Volume) -> tuple[Ailment, ...]:
    """Return what is wrong with a volume, nothing while it is healthy or merely changing."""
    if volume.state is not VolumeState.ERROR:
        return ()
    message = (
        f"volume {volume.id} is in state error in the cloud: ask Exoscale's support, "
        "or restore its latest snapshot into a new claim"
    )
    return (Ailment(reason="ApiError", message=message),)
