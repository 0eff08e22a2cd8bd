"""Detaching volumes, each only from the instance that a call names (D3, S1, S2, S3)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.fresh_reads import send_on_fresh_read
from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.controller.pending import Entry
from csi_exoblock.controller.reading import VolumeReader
from csi_exoblock.controller.refusals import failed, refused
from csi_exoblock.errors import ApiDenied, ApiRejected, ApiUnavailable, DriverError, NotFound
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import NodeId, Volume, VolumeId
from csi_exoblock.states import VOLUME_MOVING, OperationState, VolumeState
from csi_exoblock.timing import ControllerTiming

log = logging.getLogger(__name__)

_AT_AN_INSTANCE = (VolumeState.ATTACHING, VolumeState.ATTACHED)


@dataclass(slots=True, kw_only=True)
class _Asked:
    """When calls for one detach came first and last (monotonic seconds)."""

    first: float
    last: float


class PendingDetaches:
    """Remembers each detach from the first call for it until a call succeeds (F7).

    The attacher repeats a call that failed. A detach that no call asks for any more was given up,
    or another process has finished it: it is forgotten after `Timing.detach_given_up`.
    """

    def __init__(self, *, timing: ControllerTiming) -> None:
        self._timing = timing
        self._lock = threading.Lock()
        self._asked: dict[VolumeId, _Asked] = {}

    @contextmanager
    def pending(self, volume_id: VolumeId) -> Iterator[None]:
        """Count the volume's detach as pending, until such a block ends without an error."""
        now = time.monotonic()
        with self._lock:
            self._asked.setdefault(volume_id, _Asked(first=now, last=now)).last = now
        yield
        with self._lock:
            self._asked.pop(volume_id, None)

    def oldest_seconds(self) -> float:
        """Return how long ago the oldest pending detach was first asked for, 0.0 without any."""
        now = time.monotonic()
        with self._lock:
            self._asked = {
                volume_id: asked
                for volume_id, asked in self._asked.items()
                if now - asked.last < self._timing.detach_given_up
            }
            return max((now - asked.first for asked in self._asked.values()), default=0.0)


class Detachments:
    """Detaches volumes; a late or repeated call never takes a disk from another instance."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        ledger: Ledger,
        reader: VolumeReader,
        pending: PendingDetaches,
        timing: ControllerTiming,
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._reader = reader
        self._pending = pending
        self._timing = timing

    def detach(self, volume_id: VolumeId, node_id: NodeId | None, deadline: Deadline) -> None:
        """Detach the volume if it is attached to that node; return once it is not.

        Args:
            node_id: `None` stands for the instance that has the volume, whichever it is.

        Raises:
            DriverError: The volume still names the instance; never a final class (S2).
        """
        deadline = deadline.within(self._timing.detach_timeout)
        held = self._ledger.hold(f"volume {volume_id}")
        with self._pending.pending(volume_id), held as entry:
            try:
                read = partial(self._reader.read, volume_id, entry, deadline)
                send_on_fresh_read(
                    lambda volume: self._detach_as_read(volume, node_id, entry, deadline),
                    read(),
                    read,
                )
            except NotFound:
                log.info("volume to detach is gone")
            except (ApiRejected, ApiDenied) as error:  # of a read, so the volume can be attached
                raise ApiUnavailable(
                    f"volume {volume_id} was not detached, because it can't be read: {error}; "
                    "Kubernetes will retry"
                ) from error

    def _detach_as_read(
        self, volume: Volume, node_id: NodeId | None, entry: Entry, deadline: Deadline
    ) -> None:
        volume = self._settled(volume, deadline)
        if names(volume, node_id) or _stays_detaching_from_none(volume):
            self._detach(volume, node_id, entry, deadline)

    def _detach(
        self, volume: Volume, node_id: NodeId | None, entry: Entry, deadline: Deadline
    ) -> None:
        instance = instance_of(volume)
        what = f"volume {volume.id} was not detached from instance {instance}"
        client = self._cloud.zone(volume.id.zone)
        refusal: DriverError | None = None
        try:
            logs.step("detaching the volume")
            ended = self._ledger.send(
                entry,
                partial(client.detach_volume, volume.id.uuid, deadline),
                deadline,
                shown_by=lambda seen: not names(seen, node_id),
            )
            if ended.state is OperationState.SUCCESS:
                log.info("volume detached", extra={"instance_id": instance})
                return
            refusal = failed(what, ended)
        except (ApiRejected, ApiDenied) as error:
            refusal = refused(what, error)
        except NotFound as error:  # of the volume, or of the instance that it names (S1)
            refusal = ApiUnavailable(f"{what}: {error}")
        # The volume decides, not the refusal: it can have been detached all the same.
        seen = self._settled(client.get_volume(volume.id.uuid, deadline), deadline)
        is_stuck = _stays_detaching_from_none(seen) and not _stays_detaching_from_none(volume)
        if names(seen, node_id) or is_stuck:
            raise ApiUnavailable(str(refusal)) from refusal

    def _settled(self, volume: Volume, deadline: Deadline) -> Volume:
        """Return the volume once it moves no more, or stays moving.

        Raises:
            ApiUnavailable: It is at an instance, and does not say at which.
        """
        volume = self._reader.wait_while(volume, VOLUME_MOVING, deadline, until_stalled=True)
        _require_known_instance(volume)
        return volume


def names(volume: Volume, node_id: NodeId | None) -> bool:
    """Return whether the volume says that this node (`None`: any node) has it."""
    return volume.attached_to is not None and node_id in (None, volume.attached_to)


def instance_of(volume: Volume) -> str:
    """Return the UUID of the instance that has the volume, for messages."""
    return str(volume.attached_to.uuid) if volume.attached_to else "none"


def _require_known_instance(volume: Volume) -> None:
    """Raise ApiUnavailable unless the volume says where it is attached, or stays attaching.

    It can be the node that the call names, so the call is not done; and it can be another, so a
    detach could take the disk from that (D3).
    """
    if volume.state in _AT_AN_INSTANCE and volume.attached_to is None:
        raise ApiUnavailable(
            f"volume {volume.id} is {volume.state}, and the cloud does not say to which instance; "
            "Kubernetes will retry; if it stays so, ask Exoscale's support"
        )


def _stays_detaching_from_none(volume: Volume) -> bool:
    """Return whether the volume stays detaching without naming an instance.

    Only another detach ends that, and it can take the disk from nobody.
    """
    return volume.state is VolumeState.DETACHING and volume.attached_to is None
