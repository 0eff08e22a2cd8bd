"""Attaching volumes to instances, and explaining why one was not attached (S1, S3, S4, C2)."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.detachments import instance_of, names
from csi_exoblock.controller.expansion import Expansion
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.quotas import ATTACHMENTS, read_quotas
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.refusals import failed, refused
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    DriverError,
    LimitReached,
    NotFound,
    OperationPending,
    UnprovenAbsence,
    WrongState,
)
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import Age, NodeId, Volume, VolumeId
from csi_exoblock.states import (
    VOLUME_BUSY,
    VOLUME_GOING,
    VOLUME_MOVING,
    OperationState,
    VolumeState,
)
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)

_TOO_SMALL = ("micro", "tiny")  # Source: the vendor's documentation of block storage


class Attachments:
    """Attaches volumes; a repeated or lost call never takes a disk from another instance."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        reader: VolumeReader,
        expansion: Expansion,
        labels: Labels,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._expansion = expansion
        self._labels = labels
        self._timing = timing

    def attach(self, volume_id: VolumeId, node_id: NodeId, deadline: Deadline) -> Age | None:
        """Attach the volume to the node's instance; return once it is attached there.

        Returns:
            How old the volume is now, if this driver created it blank; `None` for a copy, for a
            volume that was created by other means, and if the API doesn't tell (N19).

        Raises:
            NotFound: The volume or the instance does not exist.
            WrongState: The volume is attached to another instance, or can't be attached at all.
            LimitReached: The instance has as many volumes as it may have.
        """
        if volume_id.zone != node_id.zone:
            raise WrongState(
                f"volume {volume_id} can't be attached to instance {node_id}: "
                f"it can only be used in zone {volume_id.zone}"
            )
        deadline = deadline.within(self._timing.attach_timeout)
        with self._ledger.hold(f"volume {volume_id}") as entry:
            volume = self._reader.read(volume_id, entry, deadline)
            volume = self._reader.wait_while(volume, VOLUME_MOVING, deadline, until_stalled=True)
            if not _is_attached(volume, node_id):
                self._require_attachable(volume, node_id, deadline)
                self._expansion.resize_as_noted(volume, entry, deadline)
                self._attach(volume, node_id, entry, deadline)
            return self._age(volume) if self._labels.was_made_blank(volume) else None

    def _age(self, volume: Volume) -> Age | None:
        if volume.created_at is None:
            return None
        now = datetime.fromtimestamp(self._cloud.now(), UTC)
        return Age(created_at=volume.created_at, attached_at=now)

    def _require_attachable(self, volume: Volume, node_id: NodeId, deadline: Deadline) -> None:
        """Raise unless the volume's state allows to attach it to the node's instance.

        Raises:
            NotFound: It is gone, or being deleted.
            OperationPending: The cloud is doing something else with it.
            WrongState: It can't be attached, now or ever; the message says why and what to do.
        """
        if volume.state in VOLUME_GOING:
            raise NotFound(f"volume {volume.id} is {volume.state}")
        if volume.state is VolumeState.ERROR:
            raise WrongState(f"volume {volume.id} is in state error; ask Exoscale's support")
        if volume.state in VOLUME_MOVING:
            raise WrongState(
                f"volume {volume.id} stays {volume.state}, at instance {instance_of(volume)}, and "
                "no operation of this driver will end that; detach it in the cloud, or delete the "
                "pod: then the driver detaches it"
            )
        if volume.state in VOLUME_BUSY:
            raise OperationPending(f"volume {volume.id} is {volume.state}; retry")
        if volume.attached_to == node_id:
            if volume.state is VolumeState.UNKNOWN:
                raise OperationPending(
                    f"volume {volume.id} is at instance {node_id.uuid}, in a state that this "
                    "driver does not know; retry"
                )
            return  # its state says that it is not attached: the API decides
        if volume.attached_to and self._exists(volume.attached_to, deadline):
            raise _attached_elsewhere(volume)

    def _exists(self, node_id: NodeId, deadline: Deadline) -> bool:
        logs.step("asking whether the instance exists")
        try:
            self._cloud.zone(node_id.zone).get_instance(node_id.uuid, deadline)
        except NotFound:
            return False  # a stale reference: the API decides about the attach (S1)
        return True

    def _attach(self, volume: Volume, node_id: NodeId, entry: Entry, deadline: Deadline) -> None:
        what = _not_attached(volume, node_id)
        client = self._cloud.zone(volume.id.zone)
        try:
            logs.step("attaching the volume")
            ended = self._ledger.send(
                entry,
                partial(client.attach_volume, volume.id.uuid, node_id.uuid, deadline),
                deadline,
                shown_by=lambda seen: names(seen, node_id),
            )
        except NotFound as error:
            client.get_volume(volume.id.uuid, deadline)
            if not self._exists(node_id, deadline):
                what = f"{what}: there is no such instance in zone {node_id.zone}"
                raise NotFound(what) from error
            raise UnprovenAbsence(
                f"{what}: {error}, but volume and instance were both read since; retry"
            ) from error
        except (ApiRejected, ApiDenied) as error:
            self._require_attached(volume, node_id, refused(what, error), deadline)
        else:
            if ended.state is not OperationState.SUCCESS:
                self._require_attached(volume, node_id, failed(what, ended), deadline)
        log.info("volume attached", extra={"instance_id": node_id.uuid})

    def _require_attached(
        self, volume: Volume, node_id: NodeId, refusal: DriverError, deadline: Deadline
    ) -> None:
        """Raise the reason of a failed attach, unless the volume is attached all the same.

        Raises:
            OperationPending: The cloud is doing something else with the volume just now, or the
                instance is full, but a volume is leaving it.
            WrongState: It is attached to another instance by now, or the instance is too small.
            LimitReached: The instance has as many volumes as it may have.
            DriverError: The refusal itself, where nothing else explains it.
        """
        logs.step("asking why the volume was not attached")
        seen = self._cloud.zone(volume.id.zone).get_volume(volume.id.uuid, deadline)
        if _is_attached(seen, node_id):
            return
        if seen.state in VOLUME_BUSY:
            raise OperationPending(f"volume {seen.id} is {seen.state}; retry") from refusal
        if seen.attached_to not in (None, node_id, volume.attached_to):
            raise _attached_elsewhere(seen) from refusal
        what = _not_attached(volume, node_id)
        self._require_slot(node_id, what, deadline)
        self._require_size(node_id, what, deadline)
        raise refusal

    def _require_slot(self, node_id: NodeId, what: str, deadline: Deadline) -> None:
        """Raise if both limit and use were read, and the limit is reached (C2).

        Raises:
            OperationPending: Not any more, once the volumes that are leaving have left.
            LimitReached: It is, whatever is under way: kubelet gives the pod up for it.
        """
        client = self._cloud.zone(node_id.zone)
        limit = read_quotas(client, deadline).get(ATTACHMENTS)
        if limit is None or limit.limit is None:
            return
        listed = client.list_volumes_of(node_id.uuid, deadline)
        attached = [each for each in listed if each.attached_to == node_id]
        if len(attached) < limit.limit:
            return
        what = f"{what}: it has {len(attached)} volumes and may have {limit.limit}"
        leaving = [each for each in attached if each.state is VolumeState.DETACHING]
        if len(attached) - len(leaving) < limit.limit:
            raise OperationPending(f"{what}; volume {leaving[0].id} is detaching; retry")
        raise LimitReached(f"{what}; detach one or have the limit raised")

    def _require_size(self, node_id: NodeId, what: str, deadline: Deadline) -> None:
        """Raise WrongState if the instance's type is known to be too small for any volume."""
        client = self._cloud.zone(node_id.zone)
        try:
            instance = client.get_instance(node_id.uuid, deadline)
            size = client.get_instance_size(instance.type_id, deadline) if instance.type_id else ""
        except DriverError as error:  # the refusal itself says enough
            log.info("size of the instance not read", extra={"error": str(error)})
            return
        if size in _TOO_SMALL:
            raise WrongState(
                f"{what}, which is of size {size}: block storage needs small or larger; "
                "replace the node by a larger one"
            )


def _is_attached(volume: Volume, node_id: NodeId) -> bool:
    return volume.state is VolumeState.ATTACHED and volume.attached_to == node_id


def _not_attached(volume: Volume, node_id: NodeId) -> str:
    return f"volume {volume.id} was not attached to instance {node_id.uuid}"


def _attached_elsewhere(volume: Volume) -> WrongState:
    return WrongState(
        f"volume {volume.id} is attached to instance {instance_of(volume)}; "
        "it must be detached there first"
    )
