"""How long volumes and snapshots have been in a transitional state (S3)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import ApiUnavailable, DeadlineExceeded
from csi_exoblock.model import NodeId, Snapshot, SnapshotId, Volume, VolumeId
from csi_exoblock.timing import ControllerTiming


@dataclass(slots=True, kw_only=True)
class _Seen:
    state: str
    instance: NodeId | None
    first: float
    last: float


class Stalls:
    """Remembers from call to call since when a volume or snapshot is in a transitional state.

        stalls.has_stalled(volume)   # call 1 sees it attaching: False, and the time is noted
        ...                          # call 1 ends at its deadline; the attacher calls again
        stalls.has_stalled(volume)   # call 2, 90 s later: True, the cloud has failed half way
        stalls.forget(volume.id)     # it has left the state

    One call's time is too short for that. Without further calls the time is forgotten.
    """

    def __init__(self, *, timing: ControllerTiming) -> None:
        self._timing = timing
        self._lock = threading.Lock()
        self._seen: dict[VolumeId | SnapshotId, _Seen] = {}

    def has_stalled(self, thing: Volume | Snapshot) -> bool:
        """Note a transitional state that was just read; return whether it has lasted too long.

        That is `Timing.operation_stalled`: by then the cloud has failed half way.
        """
        now = time.monotonic()
        instance = thing.attached_to if isinstance(thing, Volume) else None
        with self._lock:
            oldest = now - self._timing.detach_given_up
            self._seen = {key: seen for key, seen in self._seen.items() if seen.last > oldest}
            seen = self._seen.get(thing.id)
            if seen is None or (seen.state, seen.instance) != (thing.state, instance):
                seen = _Seen(state=thing.state, instance=instance, first=now, last=now)
                self._seen[thing.id] = seen
            seen.last = now
            return now - seen.first >= self._timing.operation_stalled

    def wait(self, thing: Volume | Snapshot, seconds: float, deadline: Deadline) -> None:
        """Note a transitional state that was just read, and wait before the next read.

        Raises:
            ApiUnavailable: The call's time ended, and the state has lasted too long.
            DeadlineExceeded: The call's time ended; the next call counts on from there.
        """
        has_stalled = self.has_stalled(thing)
        try:
            deadline.wait(seconds)
        except DeadlineExceeded as error:
            if has_stalled:
                raise self.stays(thing) from error
            raise

    def stays(self, thing: Volume | Snapshot) -> ApiUnavailable:
        """Return the error for a volume or snapshot that stays in a transitional state."""
        seconds = self._timing.operation_stalled
        return ApiUnavailable(
            f"{thing.id.noun()} {thing.id} stays {thing.state} for {seconds:g} s and more; a retry "
            "reads it again; if it stays so, ask Exoscale's support about it"
        )

    def forget(self, id: VolumeId | SnapshotId) -> None:
        """Forget a volume or snapshot that has left the transitional state."""
        with self._lock:
            self._seen.pop(id, None)
