"""Volumes that stay on the way to another state although nobody works on them (S3)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from csi_exoblock.config import Timing
from csi_exoblock.model import NodeId, Volume, VolumeId
from csi_exoblock.states import VolumeState


@dataclass(slots=True, kw_only=True)
class _Seen:
    state: VolumeState
    instance: NodeId | None
    first: float
    last: float


class Stalls:
    """Remembers since when volumes are seen in a transitional state, from one call to the next.

    A caller gives up long before a state has lasted too long, and asks again. What nobody asks for
    any more is forgotten.
    """

    def __init__(self, *, timing: Timing) -> None:
        self._timing = timing
        self._lock = threading.Lock()
        self._seen: dict[VolumeId, _Seen] = {}

    def has_stalled(self, volume: Volume) -> bool:
        """Note the volume's transitional state, just read; return whether it has lasted too long.

        It has after `Timing.operation_stalled`: by then the cloud has failed half way.
        """
        now = time.monotonic()
        with self._lock:
            oldest = now - self._timing.detach_given_up
            self._seen = {key: seen for key, seen in self._seen.items() if seen.last > oldest}
            seen = self._seen.get(volume.id)
            if seen is None or (seen.state, seen.instance) != (volume.state, volume.attached_to):
                seen = _Seen(state=volume.state, instance=volume.attached_to, first=now, last=now)
                self._seen[volume.id] = seen
            seen.last = now
            return now - seen.first >= self._timing.operation_stalled

    def forget(self, volume_id: VolumeId) -> None:
        """Forget a volume that was seen at rest."""
        with self._lock:
            self._seen.pop(volume_id, None)
