"""Things that stay on the way to another state although nobody works on them (S3)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import ApiUnavailable, DeadlineExceeded
from csi_exoblock.model import NodeId, Snapshot, SnapshotId, Volume, VolumeId


@dataclass(slots=True, kw_only=True)
class _Seen:
    state: str
    instance: NodeId | None
    first: float
    last: float


class Stalls:
    """Remembers since when things are seen in a transitional state, from one call to the next.

    A caller gives up long before a state has lasted too long, and asks again. What nobody asks for
    any more is forgotten.
    """

    def __init__(self, *, timing: Timing) -> None:
        self._timing = timing
        self._lock = threading.Lock()
        self._seen: dict[VolumeId | SnapshotId, _Seen] = {}

    def has_stalled(self, thing: Volume | Snapshot) -> bool:
        """Note the thing's transitional state, just read; return whether it has lasted too long.

        It has after `Timing.operation_stalled`: by then the cloud has failed half way.
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
        """Let this many seconds pass before the thing, in a transitional state, is read again.

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
        """Return the error for a thing that has been in a transitional state for too long."""
        seconds = self._timing.operation_stalled
        return ApiUnavailable(
            f"{thing.id.noun()} {thing.id} stays {thing.state} for {seconds:g} s and more; a retry "
            "looks at it again; if it stays so, ask Exoscale's support about it"
        )

    def forget(self, id: VolumeId | SnapshotId) -> None:
        """Forget a thing that was seen at rest."""
        with self._lock:
            self._seen.pop(id, None)
