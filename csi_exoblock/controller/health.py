"""What the cloud says of a volume's health (N7); the node knows the rest."""

from __future__ import annotations

from dataclasses import dataclass

from csi_exoblock.model import Volume, VolumeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """Why a volume can't be used.

    Attributes:
        reason: One CamelCase word, stable, for programs.
        message: Cause and remedy, for people.
    """

    reason: str
    message: str


def ailments_of(volume: Volume) -> tuple[Ailment, ...]:
    """Return what is wrong with a volume, nothing while it is healthy or merely changing."""
    if volume.state is not VolumeState.ERROR:
        return ()
    message = (
        f"volume {volume.id} is in state error in the cloud: ask Exoscale's support, "
        "or restore its latest snapshot into a new claim"
    )
    return (Ailment(reason="ApiError", message=message),)
