"""Decide which volume may be attached to which instance, and detached from it.

Source: API operations attach-block-storage-volume-to-instance and detach-block-storage-volume; the
vendor's documented limits.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from csi_exoblock.simulator.rules.volumes import require_settled
from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.cloud import Cloud, Zone
from csi_exoblock.simulator.state.modes import Question
from csi_exoblock.simulator.state.quotas import Resource
from csi_exoblock.simulator.state.resources import (
    Ending,
    Instance,
    InstanceState,
    Kind,
    Leaves,
    Operation,
    OperationState,
    Reason,
    Volume,
    VolumeState,
)

_GOING = (InstanceState.DESTROYING, InstanceState.DESTROYED, InstanceState.EXPUNGING)


class Attachments:
    """The attachments of a cloud, and the rules for them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def attach(self, zone: Zone, id: UUID, instance_id: UUID) -> Operation:
        """Begin to attach a detached volume to an instance of its zone."""
        volume = zone.volume(id)
        instance = zone.instance(instance_id)
        if volume.instance:
            raise refusals.conflict(f"volume {id} is attached to instance {volume.instance}")
        require_settled(volume)
        _require_unlocked(instance)
        if instance.state in _GOING:
            raise refusals.conflict(f"instance {instance_id} is {instance.state}")
        if not instance.size.can_have_volumes:
            raise refusals.too_small_an_instance()
        others = zone.attached_to(instance_id)
        self._cloud.quotas.require(Resource.ATTACHMENTS, len(others) + 1)
        self._require_no_collision(instance_id, others)
        zone.put(replace(volume, state=VolumeState.ATTACHING, instance=instance_id))
        return self._cloud.begin(zone, Kind.ATTACH, id)

    def detach(self, zone: Zone, id: UUID) -> Operation:
        """Begin to detach a volume from its instance; the caller does not name the instance."""
        volume = zone.volume(id)
        if not self._is_stuck(volume):
            require_settled(volume)
        if volume.instance is None:
            raise refusals.not_attached()
        self._require_detachable(zone, volume.instance)
        self._require_no_collision(volume.instance, zone.attached_to(volume.instance))
        zone.put(replace(volume, state=VolumeState.DETACHING))
        return self._cloud.begin(zone, Kind.DETACH, id)

    def set_instance_state(
        self, zone: Zone, instance_id: UUID, state: InstanceState
    ) -> list[Volume]:
        """Change the state of an instance, and return the volumes that this has detached."""
        zone.put(replace(zone.instance(instance_id), state=state))
        return self._free(zone, instance_id) if state is InstanceState.DESTROYED else []

    def remove_instance(self, zone: Zone, instance_id: UUID) -> list[Volume]:
        """Forget an instance, and return the volumes that this has detached."""
        del zone.instances[zone.instance(instance_id).id]
        return self._free(zone, instance_id)

    def _free(self, zone: Zone, instance_id: UUID) -> list[Volume]:
        if self._cloud.modes.has(Question.DESTROYED_INSTANCE, "keeps"):
            return []
        volumes = zone.attached_to(instance_id)
        for volume in volumes:
            self._end_what_is_under_way(volume)
            zone.put(replace(volume, state=VolumeState.DETACHED, instance=None))
        return volumes

    def _end_what_is_under_way(self, volume: Volume) -> None:
        """End the attach or detach of a volume that loses its instance.

        It would otherwise take effect later, when the volume may have another instance.
        """
        for operation in self._cloud.under_way(volume.id):
            if operation.kind is Kind.DETACH:
                self._cloud.end(replace(operation, ending=Ending()))
            elif operation.kind is Kind.ATTACH:
                self._cloud.end(replace(operation, ending=_interrupted(volume)))

    def _is_stuck(self, volume: Volume) -> bool:
        """Return whether a volume is stuck in attaching or detaching; only a detach helps then."""
        on_the_way = volume.state in (VolumeState.ATTACHING, VolumeState.DETACHING)
        return on_the_way and not self._cloud.is_under_way(volume.id)

    def _require_detachable(self, zone: Zone, instance_id: UUID) -> None:
        if instance_id in zone.instances:
            _require_unlocked(zone.instances[instance_id])
        if self._cloud.modes.has(Question.DETACH_STOPPED, "accepted"):
            return
        instance = zone.instance(instance_id)
        if instance.state is not InstanceState.RUNNING:
            raise refusals.conflict(f"instance {instance_id} is {instance.state}")

    def _require_no_collision(self, instance_id: UUID, others: list[Volume]) -> None:
        if self._cloud.modes.has(Question.PARALLEL_ATTACH, "independent"):
            return
        if any(other.state in (VolumeState.ATTACHING, VolumeState.DETACHING) for other in others):
            raise refusals.conflict(f"instance {instance_id} is busy")


def _interrupted(volume: Volume) -> Ending:
    return Ending(
        state=OperationState.FAILURE,
        leaves=Leaves.NOTHING,
        reason=Reason.INTERRUPTED,
        message=f"instance {volume.instance} is gone",
    )


def _require_unlocked(instance: Instance) -> None:
    if instance.is_locked:
        raise refusals.locked("instance", instance.id)
